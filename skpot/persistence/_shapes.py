"""Descriptions of fitted attributes: the shapes of arrays, which must agree, and ranges of values.

A description has a kind and dimensions, as in ``"float M P"``; without dimensions it means a single
value. A capital letter stands for one number wherever it occurs in an object; ``C+1`` is one more
than C, and ``*`` is any number. The kinds are:

- ``float``: finite numbers in double precision; ``real``: the same in single or double precision;
  ``finite``: the same in any shape
- ``int``: integers of eight bytes
- ``index<M``: integers from 0 to M - 1; ``edges<M``: integers that increase from 0 to M
- ``species``: atomic numbers in order, with repeats; ``elements``: without repeats
- ``count``: an integer that is the dimension itself; ``flag``: true or false

``dict`` before a description means one value for each species or name. Attributes that are None are
not checked.
"""

_KERNEL_MODEL = {
    "reference_features_": "float M P",
    "reference_species_": "species M",
    "dual_coef_": "float M",
    "dual_vectors_": "float M P",
    "e0_": "dict float",
    "noise_scale_": "dict float",
    "largest_training_std_": "dict float",
    "returns_targets_": "flag",
}
_SPARSE = _KERNEL_MODEL | {
    "reference_directions_": "float D P",
    "direction_counts_": "int M",
    "covariance_factor_": "float C C",
    "posterior_factor_": "float C C",
    "domain_factor_": "float C C",
    "target_column_": "float C+1",
    "label_factors_": "dict float * C+1",
    "jitter_": "float",
}
_EXACT = _KERNEL_MODEL | {
    "factor_": "float R R",
    "covariance_factor_": "float C C",
    "posterior_factor_": "float C C",
    "variance_reference_features_": "float I P",
    "variance_reference_species_": "species I",
    "variance_reference_directions_": "float D P",
    "variance_direction_counts_": "int I",
    "domain_reference_features_": "float J P",
    "domain_reference_species_": "species J",
    "domain_covariance_factor_": "float J J",
    "domain_factor_": "float J J",
}
_ROWS = {
    "n_features_in_": "count P",
    "n_features_out_": "count Q",
    "columns_": "index<P Q",
    "matrix_": "finite",
}
_PAIRS = {"species_": "elements S", "n_features_out_": "count P", "hypers_": "any"}

SHAPES = {
    # models
    "AtomicMLP": {
        "species_": "elements S",
        "centers_": "float S P",
        "components_": "float S P K",
        "unit_": "float",
        "calibration_": "dict float T",
        "species_factors_": "dict float",
        "linear_coefs_": "float S M P",
        "e0_": "dict float",
        "weight_": "float *",
        "domain_length_": "float",
        "domain_reference_features_": "float J P",
        "domain_reference_species_": "species J",
        "domain_covariance_factor_": "float J J",
        "domain_factor_": "float J J",
        "largest_training_std_": "dict float",
        "returns_targets_": "flag",
        "silu_": "flag",
    },
    "AutoGPR": {
        "weight_": "float *",
        "e0_": "dict float",
        "sigma_forces_": "float",
        "species_factors_": "dict float",
        "calibration_": "dict float T",
    },
    "SparseGPR": _SPARSE,
    "SparseGPRCV": _SPARSE,
    "GPR": _EXACT,
    "SymmetricGPR": _EXACT | {"permutations_": "int * *"},
    "LinearRidge": {
        "n_columns_in_": "count P",
        "coef_": "float C",
        "posterior_factor_": "float C C",
        "coef_columns_": "dict int *",
        "penalty_factors_": "dict float * *",
        "e0_": "dict float",
        "noise_scale_": "float",
        "largest_training_std_": "dict float",
        "returns_targets_": "flag",
    },
    "Functionals": {
        "n_structures": "count N",
        "n_atoms": "count A",
        "energy": "index<N *",
        "atoms": "index<A *",
        "stress": "index<N T",
        "volumes": "float T",
        "scale": "float R",
    },
    # compositions
    "Committee": {"deviations_": "float C K"},
    "CalibratedPotential": {"species_factors_": "dict float", "calibration_": "dict finite"},
    "PerAtom": _ROWS,
    "PerStructure": _ROWS,
    "PrincipalComponents": {
        "n_features_in_": "count P",
        "n_features_out_": "count Q",
        "species_": "species S",
        "matrices_": "float S P Q",
    },
    "SpeciesCoupling": {"species_vectors_": "dict float K"},
    # descriptors
    "SOAP": _PAIRS
    | {
        "radial_tables_": "float T R 2 L",
        "table_of_pair_": "index<T S S",
        "table_cutoffs_": "float T",
        "center_": "float T N",
        "spacing_": "float",
        "mix_": "float * * *",
    },
    "PairBasis": _PAIRS | {"spacing_": "float"},
    "TripletBasis": _PAIRS
    | {"spacing_": "float", "runs_": "int S S S K K 3", "center_start_": "edges<P S+1"},
    "SymmetryFunctions": _PAIRS | {"radius_": "float"},
    "ZBL": _PAIRS | {"outer_": "float S S", "inner_": "float S S"},
    "InverseDistances": {"numbers_": "int A", "n_features_out_": "count P"},
    # features that models keep, and their derivatives
    "AtomicFeatures": {
        "values": "real E P",
        "offsets": "edges<E N+1",
        "species": "int E",
    },
    "StructureAtoms": {"offsets": "edges<A N+1", "numbers": "int A"},
    "NeighborGraph": {"offsets": "edges<A N+1"},
    "Pairs": {"start": "edges<Q A+1", "neighbor": "index<A Q", "vector": "float Q 3"},
    "PairDerivatives": {"species": "int A"},
    "JacobianBlock": {
        "start": "edges<Q E+1",
        "atom": "int Q",
        "values": "float Q 3 P",
        "strain": "float E 6 P",
    },
    "PairTermDerivatives": {
        "positions": "float A 3",
        "offsets": "edges<A N+1",
        "charges": "float A",
        "column": "int * *",
        "n_features": "count P",
    },
    "LinearMap": {"matrix": "float P Q", "n_features_in": "count P"},
    "ScaleColumns": {"factors": "float P", "n_features_in": "count P"},
    "SelectColumns": {"columns": "index<P Q", "n_features_in": "count P"},
    "SpeciesMap": {"matrices": "float S P Q", "kinds": "index<S E", "offsets": "edges<E N+1"},
    "RowMap": {"rows": "real E P", "offsets": "edges<E N+1"},
    "Pooled": {"offsets": "edges<E N+1", "n_features": "count P"},
    # tables for the compiled functions of descriptors
    "DensityTables": {
        "radial": "float T R 2 L",
        "of_pair": "index<T S S",
        "cutoff": "float T",
        "cutoff_width": "float",
        "spacing": "float",
        "center": "float T N",
        "legendre": "float 4 * *",
        "n_max": "count N",
        "n_species": "count S",
    },
    "SoapTables": {"n_features": "count P", "kept": "float * *"},
    "Mixing": {"forward": "float L Q K", "back": "float L K Q", "normalize": "flag"},
    "Bispectrum": {"first": "edges<T P+1", "index": "int T 3", "weight": "float T"},
    "PairTables": {
        "r_min": "float",
        "spacing": "float",
        "column": "index<P S S",
        "n_columns": "count P",
    },
    "TripletTables": {
        "r_min": "float",
        "spacing": "float",
        "base": "int B",
        "center_start": "edges<P S+1",
    },
    "RepulsionTables": {
        "strength": "float S S",
        "length": "float S S",
        "inner": "float S S",
        "outer": "float S S",
    },
    "Factors": {
        "switch": "int F",
        "eta": "float F",
        "shift": "float F",
        "kappa": "float F",
    },
    "RadialTerms": {
        "start": "edges<T *",
        "column": "int T",
        "factor": "int T",
        "weight": "float T",
    },
    "AngularTerms": {
        "start": "edges<T B+1",
        "closed": "int B",
        "column": "int T",
        "factor": "int T",
        "weight": "float T",
        "angle": "int T",
    },
    "Angles": {"slope": "float V", "power": "float V", "integer": "int V"},
    "SymmetryTables": {"switches": "float * 3", "reach": "float"},
}
