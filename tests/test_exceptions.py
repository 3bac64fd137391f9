import types
import warnings

import pytest

from skpot.exceptions import LabelWarning, NumericalWarning, SkpotWarning, warn_once

# Code of libraries: it is known by the name of the module it is in.
INSIDE = """
import warnings

def warn(cause, text, category):
    warn_once(cause, text, category)

def folds(cause, category):
    for i in range(3):
        with warnings.catch_warnings():  # which makes Python forget what it has shown
            warn(cause, f"{cause} in fold {i}", category)
"""


@pytest.fixture(params=["skpot.invented", "sklearn.model_selection._invented"])
def folds(request):
    module = types.ModuleType(request.param)
    module.warn_once = warn_once
    exec(INSIDE, vars(module))
    return module.folds


def shown(function, action):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter(action)
        function()
    return found


@pytest.mark.parametrize("action", ["default", "module", "once"])
def test_one_cause_is_shown_once_for_each_line(folds, action):
    def fit():
        folds("doubles", LabelWarning)
        folds("outliers", LabelWarning)
        folds("doubles", NumericalWarning)
        folds("doubles", LabelWarning)  # another line

    found = shown(fit, action)
    texts = [str(w.message) for w in found]
    assert texts == [f"{c} in fold 0" for c in ("doubles", "outliers", "doubles", "doubles")]
    assert [w.category for w in found[1:3]] == [LabelWarning, NumericalWarning]
    assert {w.filename for w in found} == {__file__}
    line = fit.__code__.co_firstlineno
    assert [w.lineno for w in found] == [line + k for k in (1, 2, 3, 4)]


def test_always_is_once_for_each_call(folds):
    def search():
        for _ in range(2):
            folds("a", LabelWarning)

    assert [str(w.message) for w in shown(search, "always")] == ["a in fold 0"] * 2


def test_filters_work_as_ever(folds):
    assert not shown(lambda: folds("b", LabelWarning), "ignore")
    with pytest.raises(SkpotWarning, match="c in fold 0"):
        shown(lambda: folds("c", LabelWarning), "error")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="d in", category=LabelWarning)
        folds("d", LabelWarning)
        with pytest.raises(LabelWarning):
            folds("e", LabelWarning)
