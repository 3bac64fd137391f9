import logging

import pytest

from skpot import progress as module
from skpot.progress import followed, progress, showing, tell


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(module, "_FIRST", 0.0)
    monkeypatch.setattr(module, "_DELAY", 0.0)


@pytest.mark.parametrize("how", ["verbose", "showing"])
def test_lines_where_there_is_no_terminal(at_once, capsys, how):
    if how == "verbose":
        with progress(4, "work", 1, "part") as bar:
            bar.update(3)
    else:
        with showing(), progress(4, "work", 0, "part") as bar:
            bar.update(3)
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("work: 3 of 4 parts, 0:00:0") and first.endswith(" left")
    assert last.startswith("work: 3 parts, took 0:00:0")


def test_short_work_says_nothing(capsys):
    with progress(2, "work", 1) as bar:
        bar.update()
    assert list(followed("ab", 2, "work", "letter")) == ["a", "b"]
    assert capsys.readouterr().err == ""


def test_lines_are_few(monkeypatch, capsys):
    seconds = iter(range(10_000))
    monkeypatch.setattr(module.time, "perf_counter", lambda: float(next(seconds)))
    with progress(None, "work", 1, "step") as bar:
        for _ in range(1000):
            bar.update()
    lines = capsys.readouterr().err.splitlines()
    assert 10 < len(lines) < 25 and lines[0] == "work: 10 steps"


@pytest.mark.parametrize(("shown", "bars"), [(True, True), (False, True), (True, False)])
def test_bars_in_terminals(at_once, capsys, monkeypatch, shown, bars):
    monkeypatch.setattr(module, "has_bars", lambda: True)
    if not shown:
        with progress(2, "work") as bar:
            bar.update(2)
        assert capsys.readouterr().err == ""
        return
    with showing(bars), progress(2, "work") as bar:
        bar.update(2)
        bar.set_postfix_str("residual 1e-3")
    told = capsys.readouterr().err
    assert ("work: 100%" in told and "residual 1e-3" in told) == bars
    assert ("work: 2 of 2 structures" in told) != bars


def test_work_within_work_is_not_shown_twice(at_once, capsys):
    with progress(1, "outer", 1) as outer:
        with progress(1, "inner", 1) as inner:
            inner.update()
        outer.update()
    with progress(1, "next", 1) as bar:
        bar.update()
    told = capsys.readouterr().err
    assert "inner" not in told and "outer: 1 of 1" in told and "next: 1 of 1" in told


def test_bars_are_free_again_after_an_error(at_once, capsys):
    with pytest.raises(ZeroDivisionError), progress(1, "failing", 1) as bar:
        bar.update()
        _ = 1 / 0
    with progress(1, "next", 1) as bar:
        bar.update()
    told = capsys.readouterr().err
    assert "failing: 1 structures, took" not in told and "next: 1 of 1" in told


def test_a_handler_gets_all_and_nothing_is_printed(at_once, capsys, caplog):
    caplog.set_level(logging.INFO, "skpot")
    with progress(3, "work", 1) as bar:
        bar.update(3)
    tell("what was chosen", 1)
    tell("a detail", 0)
    assert [record.name for record in caplog.records] == ["skpot.progress"] * 2 + ["skpot"]
    assert caplog.messages[0].startswith("work: 3 of 3") and caplog.messages[2] == "what was chosen"
    assert capsys.readouterr() == ("", "")
    caplog.set_level(logging.DEBUG, "skpot")
    tell("a detail", 0)
    assert caplog.messages[-1] == "a detail"


def test_without_a_handler_verbose_prints(capsys):
    tell("what was chosen", 1)
    tell("a detail", 0)
    assert capsys.readouterr().out == "what was chosen\n"
    handlers = logging.getLogger("skpot").handlers
    assert any(isinstance(handler, logging.NullHandler) for handler in handlers)
