"""Relations between the parts of a fitted object, beyond the shapes of arrays.

Each function gets an object and the dimensions that the shapes of its arrays have, and returns
whether its parts agree. Also checked are the ranges of indices that compiled functions use
without any check.
"""

import numpy as np
from sklearn.base import clone

from ..core.triplet_basis import allowed_runs, triplet_runs
from ..data.origin import content_digest


def _hypers_hold(descriptor):
    """Check values that `fit` has chosen by the rules for values that a user gives."""
    clone(descriptor).set_params(**descriptor.hypers_)._validate_params()
    return True


def _soap(soap, dims):
    n_max, l_max = int(soap.hypers_["n_max"]), int(soap.l_max_)
    channels = dims["S"] * n_max
    mix = soap.mix_
    return (
        _hypers_hold(soap)
        and 0 <= l_max <= soap.hypers_["l_max"]
        and dims["N"] == n_max
        and dims["L"] == (l_max + 1) * n_max
        and (mix is None or (mix.shape[0], mix.shape[2]) == (l_max + 1, channels))
        and soap.spacing_ > 0.0
        and (soap.table_cutoffs_ > 0.0).all()
    )


def _density(tables, dims):
    return (
        0 <= tables.l_max <= 15
        and dims["L"] == (tables.l_max + 1) * dims["N"]
        and tables.legendre.shape[1:] == (tables.l_max + 1,) * 2
        and tables.spacing > 0.0
    )


def _soap_tables(tables, dims):
    density, mixing, product = tables.density, tables.mixing, tables.product
    channels = density.n_species * density.n_max
    shape = mixing.forward.shape
    mixed = shape[0] > 0
    return (
        (shape[0] in (0, density.l_max + 1))
        and (not mixed or shape[2] == channels)
        and product.n_channels == (shape[1] if mixed else channels)
        and product.l_max == density.l_max
        and (
            len(tables.kept) == 0
            or tables.kept.shape[1:] == ((density.l_max + 1) ** 2 * product.n_channels,)
        )
        and _n_invariants(product) == tables.n_features
    )


def _n_invariants(product):
    """Return the number of features without calling compiled functions."""
    n, degrees = product.n_channels, product.l_max + 1
    return {
        "Linear": n,
        "Triangle": degrees * n * (n + 1) // 2,
        "Rectangle": degrees * getattr(product, "n_left", 0) * (n - getattr(product, "n_left", 0)),
        "Diagonal": degrees * n,
        "Bispectrum": len(getattr(product, "first", [0])) - 1,
    }[type(product).__name__]


def _bispectrum(product, dims):
    limit = (product.l_max + 1) ** 2 * product.n_channels
    return _within(product.index, limit)


def _triplets(basis, dims):
    hypers = basis.hypers_
    n = hypers["n_splines"]
    if not _hypers_hold(basis) or dims["K"] != n:
        return False
    spacing = (hypers["cutoff"] - hypers["r_min"]) / n
    runs, _ = triplet_runs(allowed_runs(hypers["cutoff"], hypers["r_min"], n), dims["S"])
    return np.isclose(basis.spacing_, spacing) and np.array_equal(runs, basis.runs_)


def _triplet_tables(tables, dims):
    cube = dims["S"] ** 3 * tables.n_splines**2
    return tables.spacing > 0.0 and tables.n_splines > 0 and dims["B"] == cube


def _pairs(basis, dims):
    s, n = dims["S"], basis.hypers_["n_splines"]
    return _hypers_hold(basis) and basis.spacing_ > 0.0 and dims["P"] == s * (s + 1) // 2 * n


def _pair_tables(tables, dims):
    last = int(tables.column.max(initial=0)) + tables.n_splines
    return tables.spacing > 0.0 and tables.n_splines > 0 and last <= dims["P"]


def _symmetry_functions(descriptor, dims):
    return _hypers_hold(descriptor) and len(descriptor.feature_names_) == dims["P"]


def _symmetry(tables, dims):
    radial, angular, n = tables.radial, tables.angular, tables.n_species
    return (
        len(radial.start) == n**2 + 1
        and len(angular.start) == n**3 + 1
        and _within(radial.column, tables.n_columns)
        and _within(angular.column, tables.n_columns)
        and _within(radial.factor, len(tables.radial_factors.switch))
        and _within(angular.factor, len(tables.angular_factors.switch))
        and _within(angular.angle, len(tables.angles.slope))
        and _within(tables.radial_factors.switch, len(tables.switches))
        and _within(tables.angular_factors.switch, len(tables.switches))
        and (angular.closed >= angular.start[:-1]).all()
        and (angular.closed <= angular.start[1:]).all()
        and (tables.angles.integer < 1000).all()
    )


def _repulsion(tables, dims):
    return (tables.length > 0.0).all() and (tables.outer > tables.inner).all()


def _coefficients(model, dims):
    directions = dims.get("D", 0)
    counts = getattr(model, "direction_counts_", None)
    return (
        dims.get("C", dims["M"] + directions) == dims["M"] + directions
        and (counts is None or ((counts >= 0).all() and counts.sum() == directions))
        and _solvable(model.covariance_factor_)
        and _solvable(model.posterior_factor_)
        and _solvable(model.domain_factor_)
    )


def _solvable(factor):
    return factor is None or bool((np.diagonal(factor) != 0.0).all())


_FACTORS = "covariance", "posterior", "domain_covariance", "domain"


def _exact(model, dims):
    factors = [getattr(model, f"{name}_factor_", None) for name in _FACTORS]
    if "I" in dims and dims.get("C") != dims["I"] + dims.get("D", 0):
        return False
    return all(map(_solvable, [*factors, getattr(model, "factor_", None)]))


def _networks(model, dims):
    """Compare the layers with each other; files hold them as lists of arrays."""
    if not len(model.coefs_) == len(model.intercepts_) >= 2:
        return False
    width = dims["P"]
    for coef, intercept in zip(model.coefs_, model.intercepts_, strict=True):
        if coef.dtype != float or intercept.dtype != float:
            return False
        if coef.ndim != 4 or coef.shape[:3] != (dims["S"], dims["M"], width):
            return False
        width = coef.shape[3]
        if intercept.shape != (dims["S"], dims["M"], width):
            return False
        if not (np.isfinite(coef).all() and np.isfinite(intercept).all()):
            return False
    known = set(model.species_.tolist()) <= set(model.e0_) | {0}
    lengths = model.unit_ > 0.0 and model.domain_length_ > 0.0
    factors = _solvable(model.domain_covariance_factor_) and _solvable(model.domain_factor_)
    return width == 1 and dims["M"] >= 1 and known and lengths and factors


def _linear(model, dims):
    degree = model.degree_
    p = dims["P"]
    width = p + (p * (p + 1) // 2 if degree == 2 else 0)
    columns = model.coef_columns_
    return (
        set(columns) <= set(model.penalty_factors_)
        and _solvable(model.posterior_factor_)
        and sum(map(len, columns.values())) == dims["C"]
        and all(_within(c, width) for c in columns.values())
        and all(
            factor is None or factor.shape == (len(columns[z]),) * 2
            for z, factor in model.penalty_factors_.items()
        )
    )


def _committee(committee, dims):
    factor = getattr(committee.estimator_, "posterior_factor_", None)
    return factor is None or len(factor) == dims["C"]


def _distances(descriptor, dims):
    return dims["A"] * (dims["A"] - 1) // 2 == dims["P"]


def _graph(graph, dims):
    return len(graph.pairs.start) == dims["A"] + 1


def _leaf(leaf, dims):
    n_atoms, kept = leaf.graph.n_atoms, getattr(leaf.tables, "kept", ())
    return (
        dims["A"] == n_atoms
        and _within(leaf.species, _outline(leaf.tables)[0])
        and len(kept) in (0, n_atoms)
    )


def _descriptor(descriptor, dims):
    """Compare the tables of a descriptor with its other attributes."""
    tables = descriptor.tables()
    if _outline(tables) != (dims["S"], dims["P"]) or dims["S"] == 0:
        return False
    if type(tables).__name__ == "RepulsionTables":  # computed by powers, which are not exact
        return True
    content = descriptor.species_, tables, descriptor.dtype_
    return descriptor.origin_[0] == content_digest(type(descriptor).__name__, *content)


def _row_step(step, dims):
    """Try the transformer of rows, since scikit-learn checks its attributes only when used."""
    if step.transformer_ is None:
        return True
    if step.matrix_ is not None and step.matrix_.shape not in (
        (dims["P"],),
        (dims["P"], dims["Q"]),
    ):
        return False
    for row in (np.zeros((1, dims["P"])), np.ones((1, dims["P"]))):
        try:
            out = step.apply_to_rows(row)
        except ValueError:  # the row is not possible, or parts do not agree
            continue
        return out.shape == (1, dims["Q"]) and bool(np.isfinite(out).all())
    return False


def _principal(step, dims):
    origin = step.origin_ and step.features_origin_
    content = [origin], step.species_, step.matrices_
    return not origin or step.origin_[0] == content_digest(type(step).__name__, *content)


def _outline(tables):
    """Return the number of species and of features in tables."""
    kind = type(tables).__name__
    if kind == "SoapTables":
        return tables.density.n_species, tables.n_features
    if kind == "TripletTables":
        return len(tables.center_start) - 1, int(tables.center_start[-1])
    if kind == "RepulsionTables":
        return len(tables.strength), 1
    if kind == "PairTables":
        return len(tables.column), tables.n_columns
    return tables.n_species, tables.n_columns


def _features(features, dims):
    return all(0 <= b.indices(dims["P"])[1] <= dims["P"] for b in features.blocks.values()) and (
        features.info is None or len(features.info.volumes) == dims["N"]
    )


def _functionals(model, dims):
    labels = len(model.energy) + 3 * len(model.atoms) + 6 * len(model.stress)
    edges = np.cumsum([0, len(model.energy), 3 * len(model.atoms), 6 * len(model.stress)])
    found = [(part.start, part.stop) for part in model.parts]
    return labels == dims["R"] and found == list(
        zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    )


def _within(index, limit):
    return index.size == 0 or (index.min() >= 0 and index.max() < limit)


# Functions by the name of a class. All functions for the class of an object and its bases apply.
RELATIONS = {
    "PairDescriptor": _descriptor,
    "RowTransformer": _row_step,
    "PrincipalComponents": _principal,
    "SymmetryFunctions": _symmetry_functions,
    "SOAP": _soap,
    "PairBasis": _pairs,
    "TripletBasis": _triplets,
    "DensityTables": _density,
    "SoapTables": _soap_tables,
    "Bispectrum": _bispectrum,
    "TripletTables": _triplet_tables,
    "PairTables": _pair_tables,
    "SymmetryTables": _symmetry,
    "RepulsionTables": _repulsion,
    "AtomicMLP": _networks,
    "SparseGPR": _coefficients,
    "SparseGPRCV": _coefficients,
    "GPR": _exact,
    "SymmetricGPR": _exact,
    "LinearRidge": _linear,
    "Committee": _committee,
    "InverseDistances": _distances,
    "NeighborGraph": _graph,
    "PairDerivatives": _leaf,
    "AtomicFeatures": _features,
    "Functionals": _functionals,
}
