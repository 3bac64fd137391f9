"""Every public estimator with a small example of it; `tests/test_contract.py` runs them all."""

import functools

from ase.calculators.lj import LennardJones
from sklearn.feature_selection import VarianceThreshold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

import skpot
from skpot import kernels

# Transformers of structures to AtomicFeatures.
DESCRIPTORS = {
    "SOAP": skpot.SOAP(cutoff=3.0, n_max=2, l_max=1),
    "SOAP-bispectrum": skpot.SOAP(3.0, 2, 1, body_order=4, n_channels=2),
    "SOAP-tensor": skpot.SOAP(3.0, 2, 1, compression="tensor", n_channels=5),
    "SOAP-optimal": skpot.SOAP(3.0, 2, 1, radial_basis="optimal"),
    "SOAP-auto": skpot.SOAP(n_max=3, l_max=2, hypers="fast"),
    "PairBasis": skpot.PairBasis(cutoff=3.0, n_splines=6),
    "PairBasis-auto": skpot.PairBasis(hypers="fast"),
    "SymmetryFunctions": skpot.SymmetryFunctions(cutoff=3.0, n_radial=3, n_angular=1),
    "SymmetryFunctions-auto": skpot.SymmetryFunctions(hypers="fast"),
    "TripletBasis": skpot.TripletBasis(cutoff=3.0, n_splines=4),
    "TripletBasis-auto": skpot.TripletBasis(n_splines=4, hypers="fast"),
    "ZBL": skpot.ZBL(outer=3.0),
}

# Transformers of geometries of one molecule, in open boundaries.
MOLECULAR = {
    "CoulombMatrix": skpot.CoulombMatrix(),
    "CoulombMatrix-none": skpot.CoulombMatrix("none"),
    "InverseDistances": skpot.InverseDistances(),
}

# Transformers of AtomicFeatures to AtomicFeatures.
FEATURE_STEPS = {
    "PerAtom-affine": skpot.PerAtom(StandardScaler()),
    "PerAtom-registered": skpot.PerAtom(Normalizer()),
    "PerAtom-selection": skpot.PerAtom(VarianceThreshold()),
    "PrincipalComponents": skpot.PrincipalComponents(2),
    "PerStructure": skpot.PerStructure(),
    "SpeciesCoupling": skpot.SpeciesCoupling(),
    "PerStructure-affine": skpot.PerStructure(StandardScaler(), pool="mean"),
}

# Regressors of AtomicFeatures or, each row an environment, of ordinary tables.
REGRESSORS = {
    "AutoGPR": skpot.AutoGPR(),
    "AutoGPR-sparse": skpot.AutoGPR(n_sparse=100, max_pairs=0.0),
    "AtomicMLP": skpot.AtomicMLP(16, n_members=2, n_components=10, max_iter=30),
    "SparseGPR": skpot.SparseGPR(n_sparse=10),
    "SparseGPR-linear": skpot.SparseGPR(
        kernels.DotProduct(zeta=1), n_sparse=20, selection="random"
    ),
    "SparseGPR-RBF": skpot.SparseGPR(kernels.RBF(), n_sparse=100, selection="fps"),
    "SparseGPRCV": skpot.SparseGPRCV(n_sparse=100, cv=3, kernel_params={"zeta": [1, 2]}),
    "SparseGPR-sum": skpot.SparseGPR(kernels.RBF() + kernels.DotProduct(2), n_sparse=100),
    "SparseGPR-evidence": skpot.SparseGPR(
        kernels.RBF(), n_sparse=100, optimizer="fmin_l_bfgs_b", subsample=100
    ),
    "GPR": skpot.GPR(),
    "GPR-evidence": skpot.GPR(optimizer="fmin_l_bfgs_b", subsample=100),
    "GPR-product": skpot.GPR(kernels.Matern(3.0) * kernels.DotProduct(1)),
    "GPR-cg": skpot.GPR(kernels.RBF(0.7), solver="cg", tol=1e-7, n_precondition=20),
    "Committee": skpot.Committee(skpot.SparseGPR(kernels.RBF(), n_sparse=100), n_members=3),
    "CalibratedPotential": skpot.CalibratedPotential(
        skpot.SparseGPR(kernels.RBF(), n_sparse=100), cv=2
    ),
    "CalibratedPotential-isotonic": skpot.CalibratedPotential(
        skpot.GPR(kernels.RBF()), "isotonic", cv=3
    ),
    "LinearRidge": skpot.LinearRidge(),
    "LinearRidge-quadratic": skpot.LinearRidge(1e-3, degree=2),
}

# Regressors of inverse distances.
MOLECULAR_REGRESSORS = {"SymmetricGPR": skpot.SymmetricGPR()}

# Regressors of structures.
STRUCTURE_REGRESSORS = {
    "DeltaRegressor": skpot.DeltaRegressor(
        make_pipeline(skpot.SOAP(cutoff=3.0, n_max=2, l_max=1), skpot.SparseGPR(n_sparse=10)),
        functools.partial(LennardJones, sigma=1.0, epsilon=0.01, rc=2.0),
    ),
}

KERNELS = {
    "DotProduct": kernels.DotProduct(zeta=2),
    "RBF": kernels.RBF(length_scale=2.0),
    "Matern": kernels.Matern(nu=3.5),
    "Sum": kernels.Sum(kernels.RBF(), kernels.DotProduct()),
    "Product": kernels.Product(kernels.RBF(), kernels.DotProduct()),
    "Symmetrized": kernels.Symmetrized(kernels.RBF(), ((0, 1), (1, 0))),
    "Exponentiation": kernels.Exponentiation(kernels.Matern(), 2),
}

ESTIMATORS = DESCRIPTORS | MOLECULAR | FEATURE_STEPS | REGRESSORS
ESTIMATORS |= MOLECULAR_REGRESSORS | STRUCTURE_REGRESSORS

# Types in files of these that users have to trust by name.
TRUSTED = ["ase.calculators.lj.LennardJones", "functools.partial"]

# Checks of scikit-learn that an estimator fails by design: {registry name: {check: reason}}.
_COUNTS = "the marginal likelihood counts labels: two are not one of half the variance"
_BATCHES = "which labels are in a batch, and how many, depends on how often each occurs"
EXPECTED_FAILURES = {
    "AtomicMLP": {"check_sample_weight_equivalence_on_dense_data": _BATCHES},
    "SparseGPR-evidence": {"check_sample_weight_equivalence_on_dense_data": _COUNTS},
    "GPR-evidence": {"check_sample_weight_equivalence_on_dense_data": _COUNTS},
    "SparseGPR": {
        "check_sample_weight_equivalence_on_dense_data": (
            "fewer references than environments: which are chosen depends on how often each occurs"
        ),
        "check_regressors_train": "an even power of the dot product learns no odd function",
    },
}
