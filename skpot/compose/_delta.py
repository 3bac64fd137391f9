"""Delta learning: a model of the difference to a calculator of ASE."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, RegressorMixin, clone
from sklearn.utils.validation import check_is_fitted

from .._base import VersionedEstimator
from .._sklearn import InstanceWith, _fit_context
from ..data import (
    LABEL_KINDS,
    Targets,
    cell_volumes,
    check_structures,
    labels_by,
    named_calculator,
    summarize,
    targets_of,
)
from ..exceptions import InputError, ParameterError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self

    from skpot.data.contracts import TargetsLike
    from skpot.typing import AseCalculator, Structures


class DeltaRegressor(VersionedEstimator, MetaEstimatorMixin, RegressorMixin, BaseEstimator):
    r"""Learn the difference to a calculator of ASE, and predict the sum.

    .. math:: E(X) = E_\text{calculator}(X) + E_\text{estimator}(X)

    The same holds for forces and stress. `fit` subtracts the results of the calculator from the
    labels, and `predict` adds them again. The calculator can be anything from a pair potential to a
    cheap electronic-structure method; the better it is, the fewer labels are needed. Standard
    deviations are those of the estimator. The estimator is a whole pipeline, because calculators
    take structures, not features.

    Parameters
    ----------
    estimator : estimator
        The model that learns the difference, usually a Pipeline of a descriptor and a regressor.
        If it is given energies of free atoms (`e0`), these are differences, too.
    calculator : str, callable or ase.calculators.calculator.Calculator
        The name of a calculator in ASE, such as "emt" or "tblite", which then has its default
        settings; a class or function that makes a calculator when it is called without arguments;
        or the calculator. Prefer the first two: each copy and each worker process then makes its
        own calculator, and the fitted model can be pickled, which most calculators cannot.

    Attributes
    ----------
    estimator_ : estimator
        The fitted estimator.
    calculator_ : str, callable or ase.calculators.calculator.Calculator
        The parameter `calculator` at the time of the fit.

    See Also
    --------
    skpot.ZBL : Nuclear repulsion as a baseline within a pipeline.

    Notes
    -----
    A `calculator` given by its name in ASE is written to files and read like any other parameter.
    If it is a class or function, `skpot.dump` writes its name, and `skpot.load` must be given this
    name in `trusted`. If it is a calculator, whether it can be written depends on its
    attributes, and searches can use it only if it can be copied. `skpot.Calculator` takes a fitted
    `DeltaRegressor` like a pipeline.

    References
    ----------
    R. Ramakrishnan, P. O. Dral, M. Rupp, O. A. von Lilienfeld, J. Chem. Theory Comput. 11, 2087
    (2015).

    Examples
    --------
    >>> import skpot
    >>> from ase.build import bulk
    >>> from ase.calculators.emt import EMT
    >>> from ase.calculators.morse import MorsePotential
    >>> from sklearn.pipeline import make_pipeline
    >>> X = [bulk("Cu", cubic=True) for _ in range(6)]
    >>> for seed, atoms in enumerate(X):
    ...     atoms.rattle(0.1, seed=seed)
    ...     atoms.calc = EMT()
    >>> y = skpot.Targets.from_atoms(X)
    >>> difference = make_pipeline(skpot.SOAP(n_max=3, l_max=2), skpot.SparseGPR(n_sparse=20))
    >>> model = skpot.DeltaRegressor(difference, MorsePotential).fit(X[:5], y[:5])
    >>> model.predict(X[5:])
    Targets(n_structures=1, energy=1, forces=1 (4 atoms), stress=1)
    """

    _parameter_constraints = {
        "estimator": [InstanceWith(["fit", "predict"])],
        "calculator": [str, InstanceWith(["get_property"]), callable],
    }

    def __init__(
        self, estimator: BaseEstimator, calculator: str | AseCalculator | Callable[..., Any]
    ) -> None:
        self.estimator = estimator
        self.calculator = calculator

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        return tags

    def __getstate__(self):
        # A calculator that was made by a callable is not stored but made again.
        return {k: v for k, v in super().__getstate__().items() if k != "_made"}

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Structures, y: TargetsLike, **fit_params: Any) -> Self:
        """Fit the estimator to the differences between labels and calculator.

        Parameters
        ----------
        X : list[Atoms]
            Structures. Calculators that are attached to them are ignored.
        y : Targets, or array of shape (n_structures,)
            Labels, in eV, eV/Å and eV/Å³; an array holds energies.
        **fit_params : dict
            Arguments for `fit` of the estimator.

        Returns
        -------
        self : DeltaRegressor

        Raises
        ------
        ValueError
            If the calculator cannot compute what is labeled, or returns NaN or infinity.
        """
        X = check_structures(X)
        energies = targets_of(y, len(X)).energy
        self.calculator_, self._made = self.calculator, None
        base = _with_empty_stress(self.baseline(X), X)
        if isinstance(y, Targets):
            missing = [
                kind
                for kind in LABEL_KINDS
                if (getattr(y, f"has_{kind}") & ~getattr(base, f"has_{kind}")).any()
            ]
            if missing:
                what = " and ".join(missing)
                raise InputError(
                    f"{type(self._calculator()).__name__} gives no {what}, which y has. "
                    f"Leave them out, as in Targets(y.energy), or use a calculator with {what}."
                )
            y = _combined(y, base, -1.0)
        else:
            y = energies - base.energy
        self.estimator_ = clone(self.estimator).fit(X, y, **fit_params)
        return self

    def predict(self, X: Structures, **predict_params: Any) -> Any:
        """Predict the sum of the calculator and the estimator.

        Parameters
        ----------
        X : list[Atoms]
            Structures.
        **predict_params : dict
            Arguments for `predict` of the estimator, such as `return_std`.

        Returns
        -------
        y : Targets, or array of shape (n_structures,)
            The kind of y that `fit` was given, without quantities that the calculator cannot
            compute.
        std : optional
            What else the estimator returns, such as standard deviations.
        """
        check_is_fitted(self, "estimator_")
        X = check_structures(X)
        y = self.estimator_.predict(X, **predict_params)
        y, *others = y if isinstance(y, tuple) else (y,)
        base = self.baseline(X)
        y = _combined(y, base, 1.0) if isinstance(y, Targets) else np.asarray(y) + base.energy
        return (y, *others) if others else y

    def baseline(self, X: Structures) -> Targets:
        """Return the results of the calculator.

        Parameters
        ----------
        X : list[Atoms]
            Structures.

        Returns
        -------
        Targets
            Energies, and forces and stress if the calculator computes them.
        """
        calculator = self._calculator()
        labels = labels_by(calculator, X)
        problems = {}
        for i, parts in enumerate(labels):
            wrong = [
                name
                for name, value in zip(LABEL_KINDS, parts, strict=True)
                if (value is None and name == "energy")
                or (value is not None and not np.isfinite(value).all())
            ]
            if wrong:
                problems[i] = f"{type(calculator).__name__} gives no finite {' or '.join(wrong)}"
        if problems:
            raise InputError(summarize(problems, len(X)))
        return Targets(*([parts[k] for parts in labels] for k in range(3)))

    def _calculator(self):
        calculator = getattr(self, "calculator_", self.calculator)
        if hasattr(calculator, "get_property") and not isinstance(calculator, type):
            return calculator
        if getattr(self, "_made", None) is None:
            made = named_calculator(calculator) if isinstance(calculator, str) else calculator()
            if not hasattr(made, "get_property"):
                raise ParameterError(
                    f"calculator={calculator!r} returns {type(made).__name__}, which is no "
                    "calculator of ASE."
                )
            self._made = made
        return self._made


def _with_empty_stress(base, X):
    """Return the labels with a stress of zero where a cell has none.

    A label of stress for such a cell then reaches the estimator, which knows what to do with it.
    """
    exists = np.isfinite(cell_volumes([atoms.cell.array for atoms in X]))
    if exists.all():
        return base
    stress = np.full((len(X), 6), np.nan) if base.stress is None else base.stress.copy()
    stress[~exists] = 0.0
    return base.relabeled(base.energy, base.forces, stress)


def _combined(y, base, sign):
    """Return y + sign * base, without labels that are missing in one of them."""

    def combined(name, values, others):
        has = getattr(y, f"has_{name}") & getattr(base, f"has_{name}")
        return [values[i] + sign * others[i] if known else None for i, known in enumerate(has)]

    parts = {"energy": combined("energy", y.energy, base.energy)}
    for name in ("forces", "stress"):
        values, others = getattr(y, name), getattr(base, name)
        parts[name] = None if values is None or others is None else combined(name, values, others)
    return Targets(**parts)
