import re

import numpy as np
import pytest

import skpot
from skpot.reports import write_check_report
from tests.reports.browser import find_browser, open_page


@pytest.fixture(scope="module")
def checked():
    data = skpot.datasets.load_silicon()
    X, y = data.X, data.y
    forces, energy = [f.copy() for f in y.forces], y.energy.copy()
    forces[40] *= 10.0
    energy[70] += 50.0
    y = skpot.Targets(energy, forces, y.stress)
    return X, y, skpot.check(X, y)


@pytest.fixture(scope="module")
def page(checked, tmp_path_factory):
    X, y, found = checked
    path = tmp_path_factory.mktemp("check") / "check.html"
    write_check_report(path, found, X, y, title="silicon.xyz")
    return path


def test_findings_say_what_to_do(page, checked):
    html = page.read_text(encoding="utf-8")
    findings = checked[2].findings
    assert len(findings) >= 2
    assert html.count('<div class="finding">') == len(findings)
    for found in findings:
        assert f"<h3>{found.kind}</h3>" in html
    assert f"{len(findings)} findings: labels should be mended before a fit" in html
    assert html.count("<b>What to do:</b>") == len(findings)


def test_frames_that_findings_name_are_drawn(page, checked):
    html = page.read_text(encoding="utf-8")
    drawn = re.findall(r"<b>Frame (\d+)</b>", html)
    assert len(drawn) == 6 and {"40", "70"} <= set(drawn[:3])
    rows = re.findall(r'<th scope="row">(\d+)</th>', html)
    assert rows == [str(label.frame) for label in checked[2].worst]


def test_the_page_is_whole_without_findings_and_forces(checked, tmp_path):
    X = checked[0]
    y = skpot.Targets(np.zeros(len(X)))
    path = tmp_path / "check.html"
    write_check_report(path, skpot.check(X, y), X, y)
    html = path.read_text(encoding="utf-8")
    assert '<section id="distances">' in html and 'id="figure-labels-energy"' in html
    assert 'id="figure-labels-forces"' not in html


def test_labels_that_do_not_fit_are_refused(checked, tmp_path):
    X, y, found = checked
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        write_check_report(tmp_path / "check.html", found, X[:3], y)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(find_browser() is None, reason="needs Chromium or Chrome")
def test_the_console_is_empty(page, tmp_path):
    shot = tmp_path / "check.png"
    _, console = open_page(page, tmp_path, f"--screenshot={shot}")
    assert not console, console
    assert shot.stat().st_size > 50_000
