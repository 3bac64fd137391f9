"""The figures of both README files are those of the records in benchmarks/results."""

import json
import re
import shutil
import subprocess
import sys

import pytest

from tests.project import ROOT

FOLDER = ROOT / "benchmarks"
PAGES = (ROOT / "README.md", FOLDER / "README.md")


def tables(*arguments):
    command = [sys.executable, FOLDER / "tables.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_pages_show_what_was_recorded():
    result = tables("--check")
    assert result.returncode == 0, result.stderr


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "page.md"
    shutil.copy(PAGES[0], path)
    return path


def test_a_changed_figure_is_noticed_and_put_right(page):
    text = page.read_text(encoding="utf-8")
    changed = re.sub(r"(figure: mlearn\.energy -->)[^<]*", r"\g<1>0.1", text)
    page.write_text(changed, encoding="utf-8")
    result = tables("--check", page)
    assert result.returncode != 0 and "tables.py" in result.stderr
    assert page.read_text(encoding="utf-8") == changed
    assert tables(page).returncode == 0
    assert page.read_text(encoding="utf-8") == text


def test_the_newest_record_counts_and_names_its_commit(page, tmp_path):
    results = shutil.copytree(FOLDER / "results", tmp_path / "results")
    path = results / "gap.jsonl"
    record = json.loads(path.read_text(encoding="utf-8").splitlines()[-1])
    record["skpot"]["fit"]["cpu_s"] = 12.34
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record | {"commit": "abc1234"}) + "\n")
    page.write_text(
        "<!-- table: gap --><!-- end -->\n<!-- table: commits --><!-- end -->", encoding="utf-8"
    )
    assert tables(page, "--results", results).returncode == 0
    text = page.read_text(encoding="utf-8")
    assert "| fit, CPU time | 12.3 s | 248 s | 20.1 |" in text
    assert "| gap | `gap.jsonl` | abc1234 (1) |" in text


def test_a_table_without_records_says_so_and_a_figure_without_them_is_refused(page, tmp_path):
    page.write_text("<!-- table: gap --><!-- end -->", encoding="utf-8")
    assert tables(page, "--results", tmp_path).returncode == 0
    assert "(No record yet.)" in page.read_text(encoding="utf-8")
    page.write_text("<!-- figure: md.drift --><!-- end -->", encoding="utf-8")
    result = tables(page, "--results", tmp_path)
    assert result.returncode != 0 and "no record" in result.stderr


def test_an_unknown_name_is_refused(page):
    page.write_text("<!-- table: nothing --><!-- end -->", encoding="utf-8")
    result = tables(page)
    assert result.returncode != 0 and "'nothing'" in result.stderr


@pytest.mark.parametrize("page", PAGES, ids=["README", "benchmarks"])
def test_no_figure_begins_a_line(page):
    # Markdown takes a line that begins with a comment for HTML, not for a sentence.
    assert not re.findall(r"^\s*<!-- figure", page.read_text(encoding="utf-8"), re.M)


def test_new_records_name_their_commit():
    commit = subprocess.run(
        ["git", "-C", ROOT, "rev-parse", "--short", "HEAD"],
        capture_output=True, text=True, check=False,
    ).stdout.strip()  # fmt: skip
    if not commit:
        pytest.skip("not a checkout")
    code = "from _common import versions; print(versions('skpot')['commit'])"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=FOLDER, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert found.rstrip("+") == commit
