"""Every block of code in the documentation runs in a test, or is known not to."""

import pytest

from tests.pages import commands, fences, parse_options, run_in_new_process
from tests.project import ROOT, tracked_files

RUN_ELSEWHERE = {
    "README.md": "test_readme.py",
    "docs/howto.md": "test_howto.py",
    "docs/lammps.md": "md/lammps/test_engine.py",  # for the LAMMPS that is installed
}
NOT_RUN = {
    "skpot/datasets/generate/README.md": "takes days, with programs that skpot does not need",
}
SLOW = ("docs/networks.md",)
LANGUAGES = ("python", "bash", "lammps", "text")  # inputs of LAMMPS run in tests/md/lammps
PAGES = {
    path.relative_to(ROOT).as_posix(): path
    for path in tracked_files()
    if path.suffix == ".md" and fences(path)
}


def test_blocks_say_what_they_are():
    for name, path in PAGES.items():
        for line, language, _ in fences(path):
            assert language in LANGUAGES, f"{name}:{line}: {language or 'no language'}"
    for name, test in RUN_ELSEWHERE.items():
        assert name in PAGES and (ROOT / "tests" / test).is_file()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name in SLOW else ())
        for name in sorted(set(PAGES) - set(RUN_ELSEWHERE) - set(NOT_RUN))
    ],
)
def test_other_pages_run(name, tmp_path):
    needs = [("git clone", "a network", "")]
    run_in_new_process(PAGES[name], tmp_path, needs)


@pytest.mark.parametrize("name", PAGES)
def test_commands_of_skpot_have_these_options(name):
    shell = [text for _, language, text in fences(PAGES[name]) if language == "bash"]
    for words in commands("".join(shell)):
        if words[0] == "skpot":
            parse_options(words)


@pytest.mark.parametrize("name", NOT_RUN)
def test_programs_that_are_named_exist(name):
    shell = [words for _, _, text in fences(PAGES[name]) for words in commands(text)]
    scripts = {word for words in shell for word in words if word.endswith(".py")}
    assert scripts and all((PAGES[name].parent / script).is_file() for script in scripts)


def test_a_block_that_fails_is_told_by_its_line(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Title\n\n```python\nx = 1\n```\n\nText\n\n```python\ny = x / 0\n```\n")
    with pytest.raises(AssertionError, match=r"page.md\", line 10, in <module>(.|\n)*ZeroDivision"):
        run_in_new_process(page, tmp_path)
    page.write_text("```bash\nskpot info none.skpot\n```\n")
    with pytest.raises(AssertionError, match="skpot info none.skpot ended with 1"):
        run_in_new_process(page, tmp_path)


def test_what_is_not_installed_is_skipped(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```python\nx = 1\n```\n```python\nimport no_such_package\n```\n")
    found, printed = run_in_new_process(page, tmp_path)
    assert found == [{"x": 1}, None] and "line 5 needs no_such_package" in printed
