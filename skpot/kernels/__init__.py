"""Covariance functions between atomic environments, and their algebra."""

from ._algebra import Exponentiation, Product, Sum
from ._kernels import RBF, DotProduct, Matern
from ._symmetrized import Symmetrized
from ._waves import Waves, prior_waves

__all__ = [
    "RBF",
    "DotProduct",
    "Exponentiation",
    "Matern",
    "Product",
    "Sum",
    "Symmetrized",
    "Waves",
    "prior_waves",
]
