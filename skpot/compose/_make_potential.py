"""The recommended pipelines."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sklearn.pipeline import Pipeline

from ..descriptors import SOAP, ZBL
from ..exceptions import InputError
from ..models import AtomicMLP, AutoGPR
from ._principal import PrincipalComponents
from ._shared_union import SharedUnion

if TYPE_CHECKING:
    from typing import Any

    from skpot.typing import RandomState, Species


class _Preset(NamedTuple):
    """The size of a preset."""

    n_components: int  # largest number of directions for each species of the center
    n_sparse: int  # number of references of sparse models
    max_pairs: float  # largest number of pairs of environments for which the process is exact
    noise: float  # noise of forces, relative to their mean absolute component


_PRESETS = {
    "fast": _Preset(100, 400, 0.0, 0.04),
    "default": _Preset(200, 1500, 1e7, 0.02),
    "accurate": _Preset(400, 2000, 3e8, 0.015),
}
_MEMBERS = 4  # networks of the preset "network"
_LOST_VARIANCE = 1e-6  # largest share of the variance of the features that may be left out


def make_potential(
    preset: str = "default",
    species: Species | None = None,
    *,
    e0: str | dict[str, float] | None = None,
    sigma_energy: float | None = None,
    sigma_forces: float | None = None,
    sigma_stress: float | None = None,
    max_memory: float | None = None,
    random_state: RandomState = 0,
    verbose: int = 0,
) -> Pipeline:
    """Return the recommended pipeline, unfitted; its `fit` chooses all settings.

    The first step is a `FeatureUnion` of `SOAP`, projected on its principal components, and `ZBL`;
    the second is `AutoGPR`. Cutoff, widths, radial functions and weights of `SOAP` follow from
    species and bond lengths of the training structures (see `hypers` there), and the range of
    `ZBL` from their shortest distances. Noise, weights of structures and the kind of model follow
    from the labels. All presets use the same rules and differ only in size:

    - "fast": at most 400 references; a fit to hundreds of small structures takes seconds;
    - "default": at most 1500 references, or an exact process for up to some thousands of atoms;
    - "accurate": an exact process for up to 17 000 atoms of one species, otherwise 2000
      references; a fit takes minutes to an hour.

    "network" has the features of "default" without the projection, and four `AtomicMLP` instead:
    for training sets that are large for a process, and for fast molecular dynamics.

    Parameters
    ----------
    preset : {"fast", "default", "accurate", "network"}, default="default"
        How much time to spend for accuracy.
    species : sequence of str or int, optional
        Chemical symbols or atomic numbers of all species that may occur; others are refused. By
        default these are the species in the training set.
    e0 : None, "isolated", "least_squares" or dict, default=None
        Energy of a free atom of each species in eV, such as ``{"H": -13.6, "O": -2041.3}``. None
        takes isolated atoms in the training set, and least squares for species without one.
    sigma_energy, sigma_forces, sigma_stress : float, optional
        Noise of the labels in eV per atom, eV/Å and eV/Å³. By default it follows from the labels.
    max_memory : float or None, default=None
        Bytes the fit may use; see `SparseGPR`. Of structures in files (`skpot.Frames`) it holds
        parts only, so that this bounds the process.
    random_state : int, RandomState or None, default=0
        Seed of the choice of references.
    verbose : int, default=0
        1 shows progress bars.

    Returns
    -------
    model : Pipeline
        A pipeline with the steps "features" and "regressor". After the fit, attributes show what
        was chosen: ``hypers_`` of `SOAP`, ``outer_`` of `ZBL`, and ``sigma_forces_``, ``weight_``,
        ``exact_`` and others of `AutoGPR`.

    Raises
    ------
    ValueError
        If there is no such preset.

    See Also
    --------
    distill : A faster model for molecular dynamics, fitted to predictions of an exact one, with
        the loss of accuracy that this brings.

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
    names = *_PRESETS, "network"
    if preset not in names:
        raise InputError(f"preset={preset!r} is not one of {', '.join(map(repr, names))}.")
    shared: dict[str, Any] = {
        "baseline": "zbl",
        "e0": e0,
        "sigma_energy": sigma_energy,
        "sigma_forces": sigma_forces,
        "sigma_stress": sigma_stress,
        "max_memory": max_memory,
        "random_state": random_state,
        "verbose": verbose,
    }
    if preset == "network":
        return _pipeline("default", species, [], AtomicMLP(n_members=_MEMBERS, **shared))
    size = _PRESETS[preset]
    pca = PrincipalComponents(size.n_components, max_lost_variance=_LOST_VARIANCE)
    regressor = AutoGPR(
        noise=size.noise, n_sparse=size.n_sparse, max_pairs=size.max_pairs, **shared
    )
    return _pipeline(preset, species, [("pca", pca)], regressor)


def _pipeline(hypers, species, steps, regressor):
    """Return the pipeline of SOAP and further steps beside a repulsion, and a regressor."""
    # The density of the center adds a constant to all rows of a species. It would take up a
    # part of their length, which the kernel compares, without telling environments apart.
    soap = SOAP(hypers=hypers, central_weight=0.0, normalize=False, species=species, cache=False)
    projected = Pipeline([("soap", soap), *steps])
    repulsion = ZBL(species=species, cache=False)
    features = SharedUnion([("soap", projected), ("zbl", repulsion)])
    return Pipeline([("features", features), ("regressor", regressor)])
