"""Interatomic potentials as scikit-learn estimators.

Units are eV and Å everywhere. Public names load on first use: importing skpot itself imports no
other package and compiles nothing.
"""

import importlib
import logging

__version__ = "0.1.0"

logging.getLogger("skpot").addHandler(logging.NullHandler())

# Public name -> module that holds it. A new public name needs a line here and nothing else.
_PUBLIC = {
    "AtomicFeatures": "skpot.data",
    "AtomicMLP": "skpot.models",
    "AutoGPR": "skpot.models",
    "Calculator": "skpot.md",
    "CalibratedPotential": "skpot.compose",
    "Committee": "skpot.compose",
    "CoulombMatrix": "skpot.descriptors",
    "DeltaRegressor": "skpot.compose",
    "DescriptorCache": "skpot.descriptors",
    "Frames": "skpot.data",
    "GPR": "skpot.models",
    "InverseDistances": "skpot.descriptors",
    "LinearRidge": "skpot.models",
    "PairBasis": "skpot.descriptors",
    "PerAtom": "skpot.compose",
    "PerStructure": "skpot.compose",
    "PrincipalComponents": "skpot.compose",
    "SpeciesCoupling": "skpot.compose",
    "SOAP": "skpot.descriptors",
    "SparseGPR": "skpot.models",
    "SparseGPRCV": "skpot.models",
    "SymmetricGPR": "skpot.models",
    "SymmetryFunctions": "skpot.descriptors",
    "Targets": "skpot.data",
    "TripletBasis": "skpot.descriptors",
    "ZBL": "skpot.descriptors",
    "check": "skpot.checks",
    "check_structures": "skpot.data",
    "compile": "skpot.lowering",
    "distill": "skpot.compose",
    "dump": "skpot.persistence",
    "evaluate": "skpot.md",
    "load": "skpot.persistence",
    "make_potential": "skpot.compose",
    "read": "skpot.data",
}

_SUBMODULES = {
    "active",
    "checks",
    "compose",
    "core",
    "data",
    "datasets",
    "descriptors",
    "exceptions",
    "kernels",
    "lowering",
    "md",
    "metrics",
    "models",
    "persistence",
    "reports",
    "selection",
    "solvers",
    "testing",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name):
    if name in _PUBLIC:
        value = getattr(importlib.import_module(_PUBLIC[name]), name)
        globals()[name] = value  # the next access does not come here
        return value
    if name in _SUBMODULES:
        return importlib.import_module(f"skpot.{name}")
    raise AttributeError(f"module 'skpot' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *_PUBLIC, *_SUBMODULES})
