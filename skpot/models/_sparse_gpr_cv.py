"""Sparse Gaussian process regression that chooses its noise and kernel by cross-validation."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import ParameterGrid

from .._sklearn import Interval, StrOptions, _fit_context
from ..data import LABEL_KINDS, Targets
from ..data.tasks import results_of_groups
from ..exceptions import InputError, NumericalError, NumericalWarning, ParameterError
from ..kernels import DotProduct
from ..processes.learning_curves import learning_curves
from ..processes.references import References, chosen_references, warn_of_missing
from ..processes.sparse import SparseState
from ..progress import tell
from ..rows.features import IsKernel
from ..rows.finite import LARGEST
from ..rows.folds import FoldFactors, folded, together
from ..rows.memory import plan_memory
from ..selection import content_splits, given_splits
from ._kernel_potential import KernelPotential
from ._sparse_labels import draw_deviations, learn_further, predict_left_out

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Self

    from numpy.typing import ArrayLike

    from skpot.data.contracts import FeaturesLike, TargetsLike
    from skpot.kernels.contracts import Kernel
    from skpot.typing import FloatArray, LabelKinds, RandomState, Weights

_LEVELS = [Interval(Real, 0, None, closed="neither"), "array-like"]
_FOLDS = 5
_SCORERS = {kind: f"neg_{kind}_rmse" for kind in LABEL_KINDS}


class SparseGPRCV(KernelPotential):
    r"""Sparse Gaussian process whose noise levels and kernel are chosen by cross-validation.

    The model is `SparseGPR`; references and free atoms' energies are chosen once, from all
    structures. The rows of each fold are folded into one triangular factor for each kind of label,
    at unit noise. These factors stand for the rows in all that follows: a noise level is a
    factor of them, the model without a fold comes from the other folds' factors, its error on
    the fold from the fold's own, and the final model from all of them. Rows are made once for
    each setting of the kernel, however many noise levels are tried.

    Parameters
    ----------
    kernel : kernel object, default=None
        From `skpot.kernels`; None stands for `DotProduct(zeta=4)`.
    n_sparse : int or dict, default=1000
        Number of reference environments; see `SparseGPR`.
    selection : {"cur", "fps", "random"}, default="cur"
        How references are chosen.
    kernel_params : dict of str to list, or list of dicts, default=None
        Parameters of the kernel to try, such as ``{"zeta": [2, 4]}``; all combinations.
    sigma_energy : float or sequence of floats, default=(0.0005, 0.002, 0.008)
        Levels of the energies' noise to try, in eV per atom; see `SparseGPR`. All combinations
        of the three levels are tried.
    sigma_forces : float or sequence of floats, default=(0.02, 0.05, 0.1, 0.2)
        Levels of the forces' noise to try, in eV/Å.
    sigma_stress : float or sequence of floats, default=5e-4
        Levels of the stress' noise to try, in eV/Å³.
    cv : int, splitter or iterable, default=5
        Folds, each structure in one of them: a number, of structures at random, by their content
        and not their order, or of whole groups if there are groups; a splitter of scikit-learn, or
        pairs of training and test indices, which go by the order of the structures.
    scoring : {"neg_energy_rmse", "neg_forces_rmse", "neg_stress_rmse"}, default=None
        What to choose by, the mean over the folds; see `skpot.metrics`. None takes the errors of
        the forces, or if there are none of the energies.
    e0 : None, "isolated", "least_squares" or dict, default=None
        Energy of a free atom of each species; see `SparseGPR`.
    baseline : str or None, default=None
        Name of a block of features that are energies; see `SparseGPR`.
    targets : "auto" or tuple of {"energy", "forces", "stress"}, default="auto"
        Labels to learn from. "auto" takes what y has; a tuple makes a missing one an error.
    jitter : float, default=1e-10
        Added to the diagonal of K_MM, relative to its mean; escalates with a warning.
    max_memory : float or None, default=None
        Bytes the fit may use; None stands for half of the memory that is free.
    random_state : int, RandomState or None, default=0
        Seed of the selection.
    verbose : int, default=0
        1 shows progress bars, and prints what was chosen and `label_shares_`.

    Attributes
    ----------
    best_params_ : dict
        The levels chosen, `sigma_energy`, `sigma_forces`, `sigma_stress`, and the parameters of the
        kernel as `kernel__...`.
    best_score_ : float
        Their mean score.
    best_index_ : int
        Their place in `cv_results_`.
    cv_results_ : dict
        As of `GridSearchCV`: `params`, and for each kind of label scores such as
        `split0_test_neg_forces_rmse`, `mean_test_neg_forces_rmse`, `std_test_neg_forces_rmse`;
        NaN for a fold without such labels, which the mean leaves out. With sample weights, errors
        are weighted too.
    learning_curves_ : dict of str to dict of str to ndarray
        "structures" and "references": what the errors would be with fewer of them, from which what
        more would buy can be guessed. "number", ascending, and for each kind of label root mean
        squares on folds left out, means over the folds, at the noise and kernel chosen. References
        of models from few structures are those of all.
    n_splits_ : int
        Number of folds.
    kernel_ : kernel object
        With the parameters chosen.
    reference_features_, reference_species_, dual_coef_, e0_, e0_source_
        See `SparseGPR`.
    n_rows_, n_labels_, label_shares_, jitter_, n_features_in_
        See `SparseGPR`.

    References
    ----------
    J. Demmel et al., SIAM J. Sci. Comput. 34, A206 (2012), for factors that merge; Å. Björck,
    Linear Algebra Appl. 88-89, 31 (1987), for solutions from them by Gram matrices.

    Examples
    --------
    >>> import skpot
    >>> from sklearn.pipeline import make_pipeline
    >>> X, y, X_test, y_test = skpot.datasets.load_silicon(return_X_y=True)
    >>> gpr = skpot.SparseGPRCV(n_sparse=50, sigma_forces=[0.05, 0.2], cv=3)
    >>> model = make_pipeline(skpot.SOAP(n_max=4, l_max=3), gpr).fit(X[:20], y[:20])
    >>> sorted(gpr.best_params_)
    ['sigma_energy', 'sigma_forces', 'sigma_stress']
    >>> len(gpr.cv_results_["params"])
    6
    """

    _default_kernel = DotProduct
    _state = SparseState
    _streams = True
    _may_be_missing = ("cv_results_", "learning_curves_")

    _parameter_constraints = KernelPotential._parameter_constraints | {
        "kernel": [IsKernel(["bind", "with_slope"]), None],
        "n_sparse": [Interval(Integral, 1, None, closed="left"), dict],
        "selection": [StrOptions({"cur", "fps", "random"})],
        "kernel_params": [dict, list, None],
        "sigma_energy": _LEVELS,
        "sigma_forces": _LEVELS,
        "sigma_stress": _LEVELS,
        "cv": ["cv_object"],
        "scoring": [StrOptions(set(_SCORERS.values())), None],
        "jitter": [Interval(Real, 0, None, closed="neither")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        kernel: Kernel | None = None,
        n_sparse: int | dict[Any, int] = 1000,
        *,
        selection: str = "cur",
        kernel_params: dict[str, Any] | list[dict[str, Any]] | None = None,
        sigma_energy: float | Sequence[float] = (0.0005, 0.002, 0.008),
        sigma_forces: float | Sequence[float] = (0.02, 0.05, 0.1, 0.2),
        sigma_stress: float | Sequence[float] = 5e-4,
        cv: Any = 5,
        scoring: str | None = None,
        e0: str | dict[str, float] | None = None,
        baseline: str | None = None,
        targets: LabelKinds = "auto",
        jitter: float = 1e-10,
        max_memory: float | None = None,
        random_state: RandomState = 0,
        verbose: int = 0,
    ) -> None:
        self.kernel = kernel
        self.n_sparse = n_sparse
        self.selection = selection
        self.kernel_params = kernel_params
        self.sigma_energy = sigma_energy
        self.sigma_forces = sigma_forces
        self.sigma_stress = sigma_stress
        self.cv = cv
        self.scoring = scoring
        self.e0 = e0
        self.baseline = baseline
        self.targets = targets
        self.jitter = jitter
        self.max_memory = max_memory
        self.random_state = random_state
        self.verbose = verbose

    def _noise(self):
        # Those chosen; unit noise before, which the factors are made with.
        names = [f"sigma_{kind}" for kind in LABEL_KINDS]
        chosen = getattr(self, "best_params_", dict.fromkeys(names, 1.0))
        return {name: chosen[name] for name in names}

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: FeaturesLike,
        y: TargetsLike,
        sample_weight: Weights = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Choose references, noise levels and kernel, and solve for the coefficients.

        Parameters
        ----------
        X : AtomicFeatures, or array of shape (n_samples, n_features)
            Features with derivatives; the rows of an array count as one environment each.
        y : Targets, or array of shape (n_samples,)
            Labels, in eV, eV/Å and eV/Å³; an array holds energies.
        sample_weight : array of shape (n_samples,), optional
            Multiplies the inverse variance of all labels of a structure.
        groups : array of shape (n_samples,), optional
            Structures of one group stay in one fold; by default the groups of y.

        Returns
        -------
        self : SparseGPRCV

        Raises
        ------
        ValueError
            As `SparseGPR.fit`; if noise is given in y; if folds do not divide the structures; if no
            fold has labels to score.
        """
        _refuse_own_noise(y)
        settings = self._settings()
        training = self._prepare(X, y, sample_weight)
        folds = _test_sets(
            self.cv, training, getattr(y, "groups", None) if groups is None else groups
        )
        self.n_splits_ = len(folds)
        settings = _distinct(settings, training.count_labels())
        best, self.cv_results_ = self._search(training, folds, settings)
        self.best_score_, self.best_index_ = best.score, best.index
        self.best_params_ = self.cv_results_["params"][best.index]
        self.learning_curves_ = best.curves
        self.label_settings_ = self._label_settings()
        chosen = f"chosen by {best.scoring} = {best.score:.4g}: {self.best_params_}"
        tell(chosen, self.verbose)
        state = best.state.reported(training.features, self.verbose)
        if state.jitter > self.jitter:
            state.references.cholesky(self.jitter)  # warns, of the kernel chosen
        return self._become(state.expansion, state)

    def _search(self, training, folds, settings):
        """Return the best setting, and the results of all for `cv_results_`."""
        features, n_labels = training.features, training.count_labels()
        scoring = self.scoring or _SCORERS["forces" if "forces" in n_labels else "energy"]
        chosen = chosen_references(training, self.n_sparse, self.selection, self.random_state)
        values, species = features.environments(chosen), features.species[chosen]
        warn_of_missing(features.species, species)
        base, tried, best = self._kernel(), [], None
        for params in _grid(self.kernel_params or {}):
            kernel = _with_params(base, params).bind(features.blocks, features.shape[1])
            with warnings.catch_warnings():  # of kernels that may not be chosen
                warnings.simplefilter("ignore", NumericalWarning)
                prior = SparseState.before_labels(References(values, species, kernel), self.jitter)
            factors = self._fold_rows(prior, training, folds, len(settings))
            scores = [factors.scores(k, settings) for k in range(len(folds))]
            tried.append(_results(scores, settings, params))
            index, score = _best_of(tried[-1], scoring)
            if best is None or score > best.score:
                sizes = list(map(len, folds))
                curves = learning_curves(
                    factors, settings[index], sizes, prior.references, prior.covariance_factor
                )
                state = prior.with_factor(*factors.join(settings[index], n_labels), n_labels)
                index += len(settings) * (len(tried) - 1)
                best = _Best(scoring, score, index, state, curves)
        return best, _joined(tried)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: FeaturesLike, y: TargetsLike, sample_weight: Weights = None) -> Self:
        """Learn from further structures at the noise and kernel chosen; see `SparseGPR`."""
        return learn_further(self, X, y, sample_weight)

    def leave_one_out(
        self, X: FeaturesLike, y: TargetsLike, sample_weight: Weights = None
    ) -> TargetsLike:
        """Predict each training structure by the model that all others make; see `SparseGPR`."""
        return predict_left_out(self, X, y, sample_weight)

    def sample_dual_coef(self, n_samples: int = 1, random_state: RandomState = None) -> FloatArray:
        """Draw deviations of the coefficients from `dual_coef_`; see `SparseGPR`."""
        return draw_deviations(self, n_samples, random_state)

    def _settings(self):
        """Return all combinations of noise levels, as dictionaries by kind of label."""
        levels = {}
        for kind in LABEL_KINDS:
            given = getattr(self, f"sigma_{kind}")
            values = np.atleast_1d(np.asarray(given))
            numbers = values.ndim == 1 and len(values) and values.dtype.kind in "iuf"
            if not numbers or not ((values > 1.0 / LARGEST) & (values < LARGEST)).all():
                raise ParameterError(f"sigma_{kind} must be positive numbers, got {given!r}")
            levels[kind] = values.astype(float).tolist()
        return list(ParameterGrid(levels))

    def _fold_rows(self, prior, training, folds, n_settings):
        """Return the factors of all folds, at unit noise."""
        references = prior.references
        m, n_kinds = len(references), len(training.count_labels())
        # Those of the folds, and of energies per atom; those of the best kernel so far; Gram
        # matrices and their factors.
        n_triangles = len(folds) * (n_kinds + 1) + 2 * n_kinds + min(n_settings, together(m))
        plan = plan_memory(self.max_memory, training, m, n_triangles)
        factors = FoldFactors(m)
        shared = references, prior.covariance_factor, plan, self.verbose
        names = ((f"fold {k + 1} of {len(folds)}",) for k in range(len(folds)))
        for fold in results_of_groups(folded, training, folds, shared, names):
            factors.add(fold)
        return factors


def _grid(kernel_params):
    try:
        return ParameterGrid(kernel_params)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"kernel_params={kernel_params!r} is no grid: {error}") from None


def _with_params(kernel, params):
    try:
        kernel = clone(kernel).set_params(**params)
    except ValueError as error:
        raise ParameterError(f"kernel_params={params!r} does not fit the kernel: {error}") from None
    kernel._validate_params()
    return kernel


class _Best(NamedTuple):
    """The best setting so far, with what makes a fitted model of it."""

    scoring: str
    score: float
    index: int  # in `cv_results_`
    state: SparseState
    curves: dict


def _refuse_own_noise(y):
    """Refuse noise of single labels, which the search would silently leave unchanged."""
    names = [f"sigma_{kind}" for kind in LABEL_KINDS] if isinstance(y, Targets) else []
    given = [name for name in names if getattr(y, name) is not None]
    if given:
        raise InputError(
            f"y has noise levels of its own ({given[0]}), which no search over common levels would "
            "change. Leave them out, or search with GridSearchCV(SparseGPR(...))."
        )


def _test_sets(cv, training, groups):
    """Return the structures of each fold, in the canonical order; every structure is in one."""
    n, order = len(training), training.order()
    if cv is None or isinstance(cv, Integral):
        splits = content_splits(cv, _FOLDS, order, groups)
    else:
        splits = given_splits(cv, n, training.labels.energy, groups)
    tests = [order[np.isin(order, np.arange(n)[test])] for _, test in splits]
    seen = np.zeros(n, dtype=int)
    for test in tests:
        seen[test] += 1
    whole = all(
        len(np.arange(n)[train]) == n - len(test)
        for (train, _), test in zip(splits, tests, strict=True)
    )
    if (seen != 1).any() or not whole or len(tests) < 2:
        odd = np.flatnonzero(seen != 1)
        where = f"; structure {odd[0]} is in {seen[odd[0]]}" if len(odd) else ""
        raise InputError(
            "cv must put each structure into one fold, to be learned from in all others, as KFold "
            f"and GroupKFold do: got {len(tests)} folds{where}. Use GridSearchCV for other schemes."
        )
    return tests


def _distinct(settings, kinds):
    """Return the settings without those that differ in kinds of labels that there are none of."""
    seen = {}
    for setting in settings:
        seen.setdefault(tuple(setting[kind] for kind in LABEL_KINDS if kind in kinds), setting)
    return list(seen.values())


def _results(scores, settings, params):
    """Return one kernel's part of `cv_results_`."""
    kernel = {f"kernel__{name}": value for name, value in params.items()}
    result = {
        "params": [{f"sigma_{kind}": s[kind] for kind in LABEL_KINDS} | kernel for s in settings]
    }
    for kind in LABEL_KINDS:
        if any(kind in fold for fold in scores):
            missing = np.full(len(settings), np.nan)
            table = np.array([fold.get(kind, missing) for fold in scores])
            name = f"test_neg_{kind}_rmse"
            result |= {f"split{k}_{name}": row for k, row in enumerate(table)}
            result[f"mean_{name}"] = np.nanmean(table, axis=0)
            result[f"std_{name}"] = np.nanstd(table, axis=0)
    return result


def _best_of(result, scoring):
    """Return the place and the value of the best mean score."""
    name = f"mean_test_{scoring}"
    if name not in result:
        raise InputError(f"no structure has a label to score by scoring={scoring!r}")
    if not np.isfinite(result[name]).any():
        raise NumericalError(
            f"no setting has a finite score {scoring!r}: labels, features or parameters of the "
            "kernel are too large or too small."
        )
    index = int(np.nanargmax(result[name]))
    return index, float(result[name][index])


def _joined(tried):
    joined = {"params": [params for result in tried for params in result["params"]]}
    names = [name for name in tried[0] if name != "params"]
    return joined | {name: np.concatenate([r[name] for r in tried]) for name in names}
