"""Figures that show how good predicted uncertainties are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..exceptions import MissingDependencyError
from ._uncertainty import calibration_error, reliability_curve

if TYPE_CHECKING:
    from typing import Any

    from matplotlib.axes import Axes
    from sklearn.base import BaseEstimator

    from skpot.data.contracts import TargetsLike
    from skpot.typing import FloatArray


@dataclass(eq=False, repr=False)
class ReliabilityDisplay:
    """Observed over nominal coverage of predicted intervals.

    Made by `from_estimator` or `from_predictions`, in the manner of scikit-learn's displays.

    Parameters
    ----------
    nominal, observed : ndarray of shape (n_levels,)
        As of `reliability_curve`.
    calibration_error : float
        As of the function of this name.
    kind : {"energy", "forces", "stress"}
        What the intervals are of.
    name : str or None, default=None
        Label of the curve.

    Attributes
    ----------
    line_ : matplotlib Line2D
        The curve.
    ax_ : matplotlib Axes
        The axes with the curve.
    figure_ : matplotlib Figure
        The figure of the axes.

    Examples
    --------
    >>> from skpot.metrics import ReliabilityDisplay
    >>> y_pred, std = [0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]
    >>> display = ReliabilityDisplay.from_predictions([0.1, -0.6, 0.9, -2.0], y_pred, std)
    >>> display.ax_.get_xlabel()
    'nominal coverage'
    """

    nominal: FloatArray
    observed: FloatArray
    calibration_error: float
    kind: str
    name: str | None = field(default=None, kw_only=True)

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: Any,
        y: TargetsLike,
        *,
        kind: str = "energy",
        **kwargs: Any,
    ) -> ReliabilityDisplay:
        """Predict, and draw the curve of the predictions.

        Parameters
        ----------
        estimator : estimator
            Fitted; its `predict` takes `return_std`.
        X : list[Atoms], or what the estimator takes
            Structures that it has not learned from.
        y : Targets or array-like of shape (n_structures,)
            Their labels.
        kind : {"energy", "forces", "stress"}, default="energy"
            Total energies, force components or stress components.
        **kwargs : dict
            Further arguments of `from_predictions`; `name` is the estimator's class by default.

        Returns
        -------
        ReliabilityDisplay
        """
        y_pred, std = estimator.predict(X, return_std=True if kind == "energy" else "all")
        if kwargs.get("name") is None:
            kwargs["name"] = type(estimator).__name__
        return cls.from_predictions(y, y_pred, std, kind=kind, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        y_true: TargetsLike,
        y_pred: TargetsLike,
        std: TargetsLike,
        *,
        kind: str = "energy",
        name: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> ReliabilityDisplay:
        """Draw the curve of given predictions.

        Parameters
        ----------
        y_true, y_pred : Targets or array-like of shape (n_structures,)
            Reference and prediction.
        std : Targets or array-like of shape (n_structures,)
            Predicted standard deviations of the labels.
        kind : {"energy", "forces", "stress"}, default="energy"
            Total energies, force components or stress components.
        name : str or None, default=None
            Label of the curve.
        ax : matplotlib Axes, default=None
            Where to draw; a new figure by default.
        **kwargs : dict
            Style of the curve, as in `Axes.plot`.

        Returns
        -------
        ReliabilityDisplay
        """
        curve = reliability_curve(y_true, y_pred, std, kind=kind)
        error = calibration_error(y_true, y_pred, std, kind=kind)
        return cls(*curve, error, kind, name=name).plot(ax=ax, **kwargs)

    def plot(
        self, ax: Axes | None = None, *, name: str | None = None, **kwargs: Any
    ) -> ReliabilityDisplay:
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; a new figure by default.
        name : str or None, default=None
            Label of the curve, if not that of the display.
        **kwargs : dict
            Of the curve, as `Axes.plot` takes them.

        Returns
        -------
        ReliabilityDisplay
        """
        try:
            from matplotlib import pyplot
        except ImportError as error:
            raise MissingDependencyError(
                'plots need matplotlib: python -m pip install "skpot[plot]" or matplotlib'
            ) from error

        if ax is None:
            _, ax = pyplot.subplots()
        name = self.name if name is None else name
        label = f"{self.kind}, calibration error {self.calibration_error:.3f}"
        style = {"label": label if name is None else f"{name}, {label}", "marker": "."} | kwargs
        ax.plot([0, 1], [0, 1], linestyle=":", color="0.5")
        (self.line_,) = ax.plot(self.nominal, self.observed, **style)
        ax.set(
            xlabel="nominal coverage", ylabel="observed coverage", xlim=(0, 1), ylim=(0, 1),
            aspect="equal",
        )  # fmt: skip
        ax.legend(loc="upper left", frameon=False)
        self.ax_, self.figure_ = ax, ax.figure
        return self
