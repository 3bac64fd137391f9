import re
import subprocess
import sys

import numpy as np
import pytest
from ase.build import bulk
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import skpot
from skpot.metrics import calibration_error, energy_rmse, forces_rmse, stress_rmse
from skpot.reports import write_report
from skpot.reports._deviations import advice, coverages_of
from tests.reports.browser import find_browser, open_page, told_by

needs_browser = pytest.mark.skipif(find_browser() is None, reason="needs Chromium or Chrome")


@pytest.fixture(scope="module")
def silicon():
    data = skpot.datasets.load_silicon()
    return data, skpot.make_potential("fast").fit(data.X[:60], data.y[:60])


@pytest.fixture(scope="module")
def page(silicon, tmp_path_factory):
    data, model = silicon
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(
        path, model, data.X_test, data.y_test, X_train=data.X[:60], y_train=data.y[:60],
        card={"preset": "fast", "e0": {"Si": -0.8}, "baseline": None,
              "errors": {"test": {"rmse": 0.5, "mae": 0.25}}}, title="silicon & <friends>",
    )  # fmt: skip
    return path


def text_of(path):
    """Return what a page says, without scripts, styles and tags."""
    html = path.read_text(encoding="utf-8")
    html = re.sub(r"<(script|style)\b.*?</\1>", " ", html, flags=re.S)
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_the_page_has_all_sections(page):
    html = page.read_text(encoding="utf-8")
    for name in ("summary", "errors", "energy", "forces", "stress", "reliability", "worst", "map",
                 "distances", "cost", "card", "model"):  # fmt: skip
        assert html.count(f'<section id="{name}">') == 1, name
    ids = re.findall(r'\bid="([\w-]+)"', re.sub(r"<(script|style)\b.*?</\1>", "", html, flags=re.S))
    assert len(ids) == len(set(ids))


def test_the_page_opens_offline_and_is_small(page):
    html = page.read_text(encoding="utf-8")
    assert page.stat().st_size < 6e6
    assert html.count("plotly.js v") == 1  # the script is there once
    outside = re.sub(r"<script\b.*?</script>", "", html, flags=re.S)
    assert not re.search(r"""(src=|url\(|@import|<link[^>]*href=)["']?\s*(https?:)?//""", outside)
    assert "default-src 'none'" in outside  # the browser would refuse it, too
    assert not re.search(r"<script[^>]*\bsrc=", html)


def test_the_table_agrees_with_the_metrics(page, silicon):
    data, model = silicon
    row = re.search(r'<th scope="row">all</th>(.*?)</tr>', page.read_text(encoding="utf-8")).group(
        1
    )
    cells = [float(cell) for cell in re.findall(r"<td>(.*?)</td>", row)]
    y_pred, n_atoms = model.predict(data.X_test), [len(atoms) for atoms in data.X_test]
    expected = [
        1000 * energy_rmse(data.y_test, y_pred, n_atoms=n_atoms),
        forces_rmse(data.y_test, y_pred),
        160.21766 * stress_rmse(data.y_test, y_pred),
    ]
    np.testing.assert_allclose(cells[::3], expected, rtol=6e-3)


def test_the_summary_is_in_sentences(page):
    text = text_of(page)
    assert "silicon &amp; &lt;friends&gt;" in text
    assert "Errors of 33 structures" in text and "none of which is in the training set" in text
    assert "times that on the training set" in text
    assert "of the errors lie within one standard deviation; 68 % should" in text
    assert "preset fast e0 Si -0.8 errors · test rmse 0.5; mae 0.25" in text


def test_structures_that_were_learned_are_told(silicon, tmp_path):
    data, model = silicon
    known, new = list(data.X[10:13]), list(data.X_test[:3])
    y = np.concatenate([data.y[10:13], data.y_test[:3]])
    path = tmp_path / "report.html"
    write_report(path, model, known + new, y, X_train=data.X[:60])
    text = text_of(path)
    assert "3 of them are also in the training set" in text
    y_pred, std = skpot.reports.predict_with_std(model, new)
    found = re.search(r"Forces (\d+) % (\d+) % (\d\.\d+)", text).group(3)
    expected = calibration_error(data.y_test[:3], y_pred, std, kind="forces")
    assert float(found) == pytest.approx(expected, abs=6e-4)  # of the others alone
    write_report(path, model, known, y[:3], X_train=data.X[:60], y_train=data.y[:60])
    text = text_of(path)
    assert "has learned from these very structures" in text
    assert "of the errors lie within" not in text
    assert "times that on the training set" not in text


def test_advice_follows_coverage(silicon, tmp_path):
    data, model = silicon
    path = tmp_path / "report.html"
    y_pred, std = skpot.reports.predict_with_std(model, data.X_test)
    rng = np.random.default_rng(0)
    right = skpot.Targets(
        y_pred.energy + std.energy * rng.normal(size=len(y_pred)),
        [f + s * rng.normal(size=f.shape) for f, s in zip(y_pred.forces, std.forces, strict=True)],
    )
    write_report(path, model, data.X_test, right, y_pred=y_pred, std=std)
    text = text_of(path)
    assert text.count("can be taken at their word") == 2 and "What to do" not in text
    for factor, word in ((0.1, "small"), (10.0, "large")):
        wrong = skpot.Targets(factor * std.energy, [factor * s for s in std.forces])
        write_report(path, model, data.X_test, right, y_pred=y_pred, std=wrong)
        text = text_of(path)
        found = re.findall(rf"deviations are too {word}: about (\S+) times", text)
        np.testing.assert_allclose([float(f) for f in found], [1 / factor] * 2, rtol=0.4)
        assert "may be unlike those that the deviations were calibrated on" in text


def test_deviations_include_noise_once(silicon):
    data, model = silicon
    X = data.X_test[:3]
    std = skpot.reports.predict_with_std(model, X)[1]
    expected = model.predict(X, return_std="all")[1]  # calibrated in the fit, with the noise
    np.testing.assert_array_equal(std.energy, expected.energy)
    plain = make_pipeline(skpot.SOAP(n_max=2, l_max=1), skpot.SparseGPR(n_sparse=20))
    plain.fit(data.X[:30], data.y[:30])
    std = skpot.reports.predict_with_std(plain, X)[1]
    expected = plain.predict(X, return_std="all")[1]
    noise = plain[-1].sigma_energy * np.sqrt([len(atoms) for atoms in X])
    np.testing.assert_allclose(std.energy, np.hypot(expected.energy, noise), rtol=1e-12)
    text = " ".join(advice(coverages_of(data.y_test[:3], plain.predict(X), std), calibrated=False))
    assert "CalibratedPotential and fit again" in text


def test_models_without_deviations_forces_or_features(tmp_path):
    data = skpot.datasets.load_ethanol()
    keep = [i for i in range(40) if len(data.X[i]) > 1]
    X, y = [data.X[i] for i in keep], data.y[keep]
    model = make_pipeline(skpot.SOAP(n_max=2, l_max=1), skpot.PerStructure(), Ridge())
    model.fit(X, y)
    path = tmp_path / "report.html"
    write_report(path, model, data.X_test[:5], data.y_test.energy[:5], X_train=X)
    html = path.read_text(encoding="utf-8")
    assert '<section id="energy">' in html and '<section id="forces">' not in html
    assert '<section id="reliability">' not in html
    assert "Structures with the largest errors of energy" in html


def test_free_atoms_do_not_make_errors_look_small(tmp_path):
    data = skpot.datasets.load_ethanol()
    X, y = data.X[:40], data.y[:40]
    free = [len(atoms) == 1 for atoms in X]
    assert sum(free) == 3
    model = skpot.make_potential("fast").fit(X, y)
    path, pattern = tmp_path / "report.html", r"([\d.]+) % of the variation of the labels beyond"
    shares = []
    for keep in (slice(None), np.flatnonzero(~np.array(free))):
        some = [X[i] for i in np.arange(40)[keep]] + data.X_test[:20]
        write_report(path, model, some, np.concatenate([y[keep], data.y_test[:20]]))
        shares.append(float(re.search(pattern, text_of(path)).group(1)))
    assert 1 / 3 < shares[0] / shares[1] < 3.0  # 0.1 if they counted


def test_searches_are_those_that_they_found(silicon, tmp_path):
    data, _ = silicon
    model = make_pipeline(skpot.SOAP(n_max=2, l_max=1), skpot.SparseGPR(n_sparse=20))
    search = GridSearchCV(model, {"sparsegpr__sigma_forces": [0.05, 0.1]}, cv=2)
    search.fit(data.X[:30], data.y[:30])
    path = tmp_path / "report.html"
    write_report(path, search, data.X_test[:6], data.y_test[:6], X_train=data.X[:30])
    html = path.read_text(encoding="utf-8")
    assert '<section id="reliability">' in html and '<section id="map">' in html


def test_labels_may_be_missing(silicon, tmp_path):
    data, model = silicon
    y, path = data.y_test[:5], tmp_path / "report.html"
    forces = [f.copy() for f in y.forces]
    forces[0][:5] = np.nan
    forces[3] = None
    write_report(path, model, data.X_test[:5], skpot.Targets([None, *y.energy[1:]], forces))
    html = path.read_text(encoding="utf-8")
    found = model.predict(data.X_test[:5]).forces
    error = np.concatenate([f - found[k] for k, f in enumerate(forces) if f is not None])
    rmse = np.sqrt(np.nanmean(error**2))
    row = re.search(r'<th scope="row">all</th>(.*?)</tr>', html).group(1)
    assert float(re.findall(r"<td>(.*?)</td>", row)[3]) == pytest.approx(rmse, rel=6e-3)


def test_learning_curves_are_drawn(silicon, tmp_path):
    data, _ = silicon
    regressor = skpot.SparseGPRCV(n_sparse=20, sigma_energy=[1e-3, 1e-2], cv=3)
    model = make_pipeline(skpot.SOAP(n_max=2, l_max=1), regressor).fit(data.X[:30], data.y[:30])
    path = tmp_path / "report.html"
    write_report(path, model, data.X_test[:6], data.y_test[:6])
    html = path.read_text(encoding="utf-8")
    assert 'id="figure-curve-structures"' in html and 'id="figure-curve-references"' in html


def test_groups_can_be_given_and_names_are_harmless(silicon, tmp_path):
    data, model = silicon
    path = tmp_path / "report.html"
    names = ["</script><script>alert(1)</script>", 'a"b'] * 5
    write_report(path, model, data.X_test[:10], data.y_test[:10], groups=names)
    html = path.read_text(encoding="utf-8")
    assert "</script><script>alert" not in html
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in html
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        write_report(path, model, data.X_test[:10], data.y_test[:10], groups=names[:3])


def test_many_groups_share_the_last_color(silicon, tmp_path):
    data, model = silicon
    path = tmp_path / "report.html"
    names = [f"g{i}" for i in range(12)] + ["g0"]
    write_report(path, model, data.X_test[:13], data.y_test[:13], groups=names)
    chips = re.findall(r'<button type="button" data-group="(\w+)"', path.read_text("utf-8"))
    assert len(chips) == 10 and chips[0] == "g0" and chips[-1] == "others"


def test_pages_of_large_sets_stay_small(silicon, tmp_path):
    model = silicon[1]
    rng = np.random.default_rng(0)
    cell = bulk("Si", a=5.4) * (3, 3, 3)
    cell = cell[:27]
    X = [cell.copy() for _ in range(2000)]
    for atoms in X:
        atoms.positions += rng.normal(0.0, 0.05, (27, 3))

    def labels():
        noise = rng.normal(size=(2000, 27, 3))
        return skpot.Targets(rng.normal(size=2000), list(noise), rng.normal(size=(2000, 6)))

    std = skpot.Targets(np.ones(2000), [np.ones((27, 3))] * 2000, np.ones((2000, 6)))
    groups = [f"group-{i % 12}" for i in range(2000)]
    path = tmp_path / "report.html"
    write_report(path, model, X, labels(), X_train=X[:200], y_pred=labels(), std=std, groups=groups)
    assert path.stat().st_size < 8e6
    text = text_of(path)
    assert "Of 162000 labels, about 3000 are drawn as points" in text
    assert "200 of them are also in the training set" in text


def test_nothing_is_written_if_there_is_nothing_to_report(silicon, tmp_path):
    data, model = silicon
    path = tmp_path / "report.html"
    with pytest.raises(ValueError, match="no label that the model predicts"):
        write_report(path, model, data.X_test[:2], skpot.Targets([None, None]))
    with pytest.raises(ValueError, match="without X_train"):
        write_report(path, model, data.X_test[:2], data.y_test[:2], y_train=data.y[:2])
    assert not list(tmp_path.iterdir())


def test_a_missing_plotly_is_told():
    code = (
        "import sys; sys.modules['plotly'] = None\n"
        "import skpot\n"
        "try:\n    skpot.reports.write_report('x.html', None, [], [])\n"
        "except ImportError as error:\n    print(error)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert 'python -m pip install "skpot[report]"' in result.stdout


@needs_browser
def test_the_console_is_empty_and_figures_are_drawn(page, tmp_path):
    shot = tmp_path / "desktop.png"
    _, console = open_page(page, tmp_path, f"--screenshot={shot}")
    assert not console, console
    assert shot.stat().st_size > 100_000
    drawn = told_by(
        page.read_text(encoding="utf-8"),
        tmp_path,
        "const figures = [...document.querySelectorAll('.js-plotly-plot')];"
        "parent.postMessage(figures.map((f) => f.querySelectorAll('.main-svg').length > 0 ? 1 : 0)"
        ".join(''), '*');",
    )
    assert len(drawn) == page.read_text("utf-8").count('id="figure-') and set(drawn) == {"1"}


@needs_browser
def test_the_page_fits_a_phone(page, tmp_path):
    told = told_by(
        page.read_text(encoding="utf-8"),
        tmp_path,
        "const figures = [...document.querySelectorAll('.js-plotly-plot .main-svg')];"
        "const right = figures.map((f) => f.getBoundingClientRect().right);"
        "parent.postMessage(document.documentElement.scrollWidth + ' ' + Math.max(...right), '*');",
        width=390,
    )
    width, right = map(float, told.split())
    assert width <= 390 and 250 < right <= 390


@needs_browser
def test_large_figures_do_not_touch(page, tmp_path):
    html = page.read_text(encoding="utf-8")
    told = told_by(
        html.replace('"number">', '"number">1', 1),  # and what is longer is wrapped
        tmp_path,
        "const room = [...document.querySelectorAll('.tile')].map((tile) => {"
        "const own = document.createRange(); own.selectNodeContents(tile);"
        "return tile.getBoundingClientRect().right - own.getBoundingClientRect().right; });"
        "parent.postMessage(Math.min(...room) + ' ' + room.length, '*');",
        width=1100,  # the narrowest window with six of them in a row
    )
    least, n = map(float, told.split())
    assert n >= 6 and least >= 0.0


@needs_browser
@pytest.mark.parametrize("target", [
    "document.querySelector('button[data-group=liquid]')",
    "[...document.querySelectorAll('#figure-parity-forces .traces')]"
    ".find((t) => t.textContent.trim() === 'liquid').querySelector('.legendtoggle')",
])  # fmt: skip
def test_a_click_filters_all_figures(page, tmp_path, target):
    told = told_by(
        page.read_text(encoding="utf-8"),
        tmp_path,
        f"const target = {target};"
        "for (const type of ['mousedown', 'mouseup', 'click']) {"
        " target.dispatchEvent(new MouseEvent(type, {bubbles: true, view: window, detail: 1})); }"
        "setTimeout(() => { const shown = (name) => document.getElementById(name).data"
        ".filter((t) => t.meta && t.meta.group && t.visible !== 'legendonly')"
        ".map((t) => t.meta.group).join('+');"
        "parent.postMessage([shown('figure-parity-forces'), shown('figure-errors-energy'),"
        " document.querySelectorAll('tr[data-group]:not(.hidden)').length].join(), '*'); }, 2000);",
    )
    assert told == "liquid,liquid,1"


@needs_browser
def test_hovering_names_the_frame(page, tmp_path, silicon):
    told = told_by(
        page.read_text(encoding="utf-8"),
        tmp_path,
        "const plot = document.getElementById('figure-parity-forces');"
        "Plotly.Fx.hover(plot, [{curveNumber: 1, pointNumber: 0}]);"
        "setTimeout(() => { const found = plot.querySelector('.hovertext');"
        "parent.postMessage(found ? found.textContent : 'nothing', '*'); }, 1000);",
    )
    kinds = [atoms.info["config_type"] for atoms in silicon[0].X_test]
    frame, atom = map(int, re.search(r"frame (\d+), atom (\d+) \(Si\), x", told).groups())
    assert told.startswith(kinds[frame])
    value = silicon[0].y_test.forces[frame][atom, 0]
    found = re.search(r"label (\S+), predicted", told).group(1).replace("−", "-")
    assert float(found) == pytest.approx(value, rel=1e-4, abs=1e-5)
