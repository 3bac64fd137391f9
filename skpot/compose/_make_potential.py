"""The recommended pipelines."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sklearn.pipeline import Pipeline

from ..descriptors import SOAP, ZBL
from ..exceptions import InputError
from ..models import AutoGPR
from ._principal import PrincipalComponents
from ._shared_union import SharedUnion

if TYPE_CHECKING:
    from skpot.typing import Species


class _Preset(NamedTuple):
    """Sizes of a preset."""

    n_components: int  # directions kept of each center species, at most
    n_sparse: int  # references
    max_pairs: float  # of environments of one species, up to which the process is exact
    noise: float  # of forces, relative to their mean absolute component


_PRESETS = {
    "fast": _Preset(100, 400, 0.0, 0.04),
    "default": _Preset(200, 1500, 1e7, 0.02),
    "accurate": _Preset(400, 2000, 3e8, 0.015),
}
_LOST_VARIANCE = 1e-6  # largest share of the variance of the features that may be left out


def make_potential(
    preset: str = "default", species: Species | None = None, *, verbose: int = 0
) -> Pipeline:
    """Return the recommended pipeline, unfitted: its `fit` chooses from the training set.

    The steps are a `FeatureUnion` of `SOAP` on its principal components and of `ZBL`, and
    `AutoGPR`. Cutoff, widths, radial functions and weights of `SOAP` follow from species and bond
    lengths (`hypers`), the range of the repulsion from the shortest distances, noise, weights of
    structures and the kind of solution from the labels. All presets follow the same rules and
    differ in size only:

    - "fast": at most 400 references, seconds for hundreds of small structures;
    - "default": at most 1500 references, or an exact process of up to some thousands of atoms;
    - "accurate": an exact process of up to 17 000 atoms of one species, else 2000
      references; minutes to an hour.

    Parameters
    ----------
    preset : {"fast", "default", "accurate"}, default="default"
        Accuracy against time.
    species : sequence of str or int, optional
        Chemical symbols or atomic numbers of all species that may occur; others are refused. By
        default those seen in `fit`.
    verbose : int, default=0
        1 shows progress bars.

    Returns
    -------
    model : Pipeline
        With the steps "features" and "regressor". What was chosen stands in the fitted attributes:
        ``hypers_`` of the descriptor, ``outer_`` of `ZBL`, ``sigma_forces_``, ``weight_``,
        ``exact_`` and the others of `AutoGPR`.

    Raises
    ------
    ValueError
        If there is no such preset.

    Examples
    --------
    >>> import skpot
    >>> X, y, X_test, y_test = skpot.datasets.load_silicon(return_X_y=True)
    >>> model = skpot.make_potential("fast").fit(X[:10], y[:10])
    >>> model.predict(X_test[:2])
    Targets(n_structures=2, energy=2, forces=2 (16 atoms), stress=2)
    >>> model[-1].exact_
    False
    """
    if preset not in _PRESETS:
        raise InputError(f"preset={preset!r} is not one of {', '.join(map(repr, _PRESETS))}.")
    size = _PRESETS[preset]
    # A central density is a constant of each center, which takes a share of the length that the
    # kernel compares.
    soap = SOAP(hypers=preset, central_weight=0.0, normalize=False, species=species, cache=False)
    pca = PrincipalComponents(size.n_components, max_lost_variance=_LOST_VARIANCE)
    projected = Pipeline([("soap", soap), ("pca", pca)])
    repulsion = ZBL(species=species, cache=False)
    features = SharedUnion([("soap", projected), ("zbl", repulsion)])
    regressor = AutoGPR(
        noise=size.noise,
        n_sparse=size.n_sparse,
        max_pairs=size.max_pairs,
        baseline="zbl",
        verbose=verbose,
    )
    return Pipeline([("features", features), ("regressor", regressor)])
