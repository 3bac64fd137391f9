"""Exact Gaussian process of a molecule, symmetric in its like atoms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._sklearn import StrOptions, _fit_context
from ..data import AtomicFeatures
from ..exceptions import InputError, InputTypeError
from ..kernels import Matern, Symmetrized
from ..processes.exact import ExactSettings, ExactState, fit_exact, generator
from ..processes.permutations import find_permutations, generated_group, pair_orders, to_matrices
from ._gpr import GPR, SOLVER
from ._kernel_potential import KernelPotential

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import ArrayLike

    from skpot.data.contracts import FeaturesLike, TargetsLike
    from skpot.kernels.contracts import Kernel
    from skpot.typing import LabelKinds, RandomState, Weights

_FLAT = 1e-6  # of the largest: eigenvalues of a geometry's metric beyond three dimensions


def _matern():
    return Matern(length_scale=3.0, nu=2.5, variance=1000.0)


class SymmetricGPR(KernelPotential):
    r"""Exact Gaussian process of one molecule, symmetric in its like atoms.

    Learns from `InverseDistances` as `GPR` does, with the kernel averaged over a group G of
    exchanges of like atoms,

    .. math:: k_G(x, x') = \frac{1}{|G|} \sum_{P \in G} k(x, P x')

    where P orders the pairs of atoms as it orders atoms. So each label counts for all geometries
    that exchanges make of its own, and predictions do not change under them. The group is found
    from the training set: pairs of geometries are matched by the eigenvectors of their matrices of
    inverse distances, the matches that are sure are the edges of a minimum spanning tree, and these
    generate the group. It holds what the molecule did or nearly did, such as rotations of methyl
    groups; exchanges that break bonds are as exact but of no use, and are not among them.

    Parameters
    ----------
    kernel : kernel object, default=None
        From `skpot.kernels`; None stands for `Matern(length_scale=3.0, nu=2.5, variance=1000.0)`,
        lengths in 1/Å. One length for all features, or the same for those that are exchanged.
    permutations : "auto" or array-like of int of shape (n, n_atoms), default="auto"
        How the group is found; or permutations that generate it, each the order in which it takes
        the atoms.
    sigma_energy : float or dict of str to float, default=5e-4
        Noise per atom in eV: the total energy of n atoms has standard deviation
        `sigma_energy * sqrt(n)`. A dict gives it by the groups of y; see `GPR`.
    sigma_forces : float or dict, default=0.01
        Noise of a force component in eV/Å.
    sigma_stress : float or dict, default=5e-4
        Not used: molecules have no stress.
    e0 : None, "isolated", "least_squares" or dict, default=None
        Energy of a free atom of each species; see `SparseGPR`.
    baseline : str or None, default=None
        Name of a block of features that are energies; see `SparseGPR`.
    targets : "auto" or tuple of {"energy", "forces", "stress"}, default="auto"
        Labels to learn from. "auto" takes what y has, which may be forces alone; a tuple makes a
        missing one an error.
    solver, tol, max_iter, n_precondition, max_memory, verbose : as in `GPR`
        Solution of the linear system.
    random_state : int, RandomState or None, default=0
        Seed of the preconditioner's labels. If there are more than 150 geometries, it also chooses
        the 150 that are matched.

    Attributes
    ----------
    permutations_ : ndarray of int of shape (n_permutations, n_atoms)
        The group, the identity first.
    kernel_ : Symmetrized
        The kernel averaged over it.
    reference_features_, reference_species_, dual_coef_, dual_vectors_, e0_, e0_source_
        See `GPR`. Written without the average, the model has `n_permutations` times as many
        references, P x_i with vectors P v_i.
    residual_, n_iter_, converged_, n_rows_, n_features_in_
        See `GPR`.

    Notes
    -----
    Trained on forces with a `Matern` kernel of nu = 2.5 this is sGDML, whose sigma is the length
    scale and whose lambda gives ``sigma_forces**2 = lambda * variance / n_permutations``. With its
    constraints on energies, ``sigma_energy * sqrt(n_atoms) = sigma_forces`` in eV and eV/Å.

    References
    ----------
    S. Chmiela, H. E. Sauceda, K.-R. Müller, A. Tkatchenko, Nat. Commun. 9, 3887 (2018), for the
    symmetric process; S. Chmiela et al., Comput. Phys. Commun. 240, 38 (2019), for matching and
    spanning tree; S. Umeyama, IEEE Trans. Pattern Anal. Mach. Intell. 10, 695 (1988), for matching
    by eigenvectors.

    Examples
    --------
    >>> import skpot
    >>> from sklearn.pipeline import make_pipeline
    >>> X, y, X_test, _ = skpot.datasets.load_ethanol(return_X_y=True)
    >>> X, y = X[-40:], y[-40:]
    >>> model = make_pipeline(skpot.InverseDistances(), skpot.SymmetricGPR()).fit(X, y)
    >>> len(model[-1].permutations_)  # three rotations of CH3, each with its mirror image
    6
    >>> model.predict(X_test[-2:])
    Targets(n_structures=2, energy=2, forces=2 (18 atoms), stress=0)
    """

    _default_kernel = staticmethod(_matern)
    _state = ExactState

    _parameter_constraints = KernelPotential._parameter_constraints | {
        "kernel": GPR._parameter_constraints["kernel"],
        "permutations": [StrOptions({"auto"}), "array-like"],
        **SOLVER,
    }

    def __init__(
        self,
        kernel: Kernel | None = None,
        *,
        permutations: str | ArrayLike = "auto",
        sigma_energy: float | dict[str, float] = 5e-4,
        sigma_forces: float | dict[str, float] = 0.01,
        sigma_stress: float | dict[str, float] = 5e-4,
        e0: str | dict[str, float] | None = None,
        baseline: str | None = None,
        targets: LabelKinds = "auto",
        solver: str = "auto",
        tol: float = 0.1,
        max_iter: int = 300,
        n_precondition: int = 2000,
        max_memory: float | None = None,
        random_state: RandomState = 0,
        verbose: int = 0,
    ) -> None:
        self.kernel = kernel
        self.permutations = permutations
        self.sigma_energy = sigma_energy
        self.sigma_forces = sigma_forces
        self.sigma_stress = sigma_stress
        self.e0 = e0
        self.baseline = baseline
        self.targets = targets
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.n_precondition = n_precondition
        self.max_memory = max_memory
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: FeaturesLike, y: TargetsLike, sample_weight: Weights = None) -> Self:
        """Find the permutations and solve for the coefficients; parameters as in `GPR.fit`.

        Returns
        -------
        self : SymmetricGPR

        Raises
        ------
        ValueError
            If X holds no inverse distances of one molecule; else as `GPR.fit`.
        """
        _require_molecules(X)
        training = self._prepare(X, y, sample_weight).in_order()
        features = training.features
        _require_distances(features)
        n = int(features.n_atoms[0])
        matrices = to_matrices(features.values, n)
        self.permutations_ = self._group(matrices, features.numbers[:n])
        orders = pair_orders(self.permutations_)
        _require_invariance(self.kernel_, orders)
        kernel = Symmetrized(self.kernel_, orders)
        fitted, _ = fit_exact(kernel, training, self._parameters(ExactSettings))
        return self._become(*fitted)

    def _group(self, matrices, numbers):
        if isinstance(self.permutations, str):
            return find_permutations(matrices, numbers, generator(self.random_state))
        return generated_group(_checked(self.permutations, numbers), len(numbers))


def _checked(permutations, numbers):
    """Return permutations that were given as an array."""
    given, n = np.asarray(permutations), len(numbers)
    if given.ndim != 2 or not (given.shape[1] == n and (np.sort(given) == np.arange(n)).all()):
        raise InputError(
            f"permutations must be rows that hold each of the {n} atoms once, from 0 on."
        )
    if len(wrong := np.flatnonzero((numbers[given] != numbers).any(axis=1))):
        raise InputError(f"permutations[{wrong[0]}] exchanges atoms of different species.")
    return given


def _require_molecules(X):
    if not isinstance(X, AtomicFeatures) or not X.per_structure:
        raise InputTypeError(
            "SymmetricGPR learns from inverse distances of whole molecules: put the descriptor "
            "before it, as in make_pipeline(skpot.InverseDistances(), skpot.SymmetricGPR())."
        )


def _require_distances(features):
    """Raise `ValueError` unless features are inverse distances of one molecule."""
    n = int(features.n_atoms[0])
    numbers = features.numbers.reshape(-1, n) if (features.n_atoms == n).all() else None
    one = numbers is not None and (numbers == numbers[0]).all()
    if not (one and features.shape[1] == n * (n - 1) // 2 and _are_inverse_distances(features, n)):
        raise InputError(
            "SymmetricGPR takes inverse distances between all atoms of one molecule as they are: "
            "the output of skpot.InverseDistances() without a step after it."
        )


def _are_inverse_distances(features, n):
    """Return whether there are points in space whose inverse distances the features are."""
    rows = features.values
    if not (rows > 0.0).all():
        return False
    squares = to_matrices(1.0 / rows.astype(float) ** 2, n)
    centering = np.eye(n) - 1.0 / n
    spectra = np.linalg.eigvalsh(-0.5 * centering @ squares @ centering)
    beyond = np.sort(np.abs(spectra), axis=1)[:, :-3]  # three dimensions
    return not beyond.size or bool((beyond <= _FLAT * spectra.max(axis=1, keepdims=True)).all())


def _require_invariance(kernel, orders):
    """Raise `ValueError` if features that are exchanged count differently."""
    for s in kernel.similarities:
        weights = np.zeros(orders.shape[1])
        s.take(weights)[...] = 1.0 if s.weights is None else s.weights
        if not np.allclose(weights[orders], weights, rtol=1e-9):
            raise InputError(
                f"{kernel} has different lengths, or blocks, for features that the permutations "
                "of atoms exchange; one length for all is safe."
            )
