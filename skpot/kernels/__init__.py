"""Covariance functions between atomic environments, and their algebra."""

from ._algebra import Exponentiation, Product, Sum
from ._kernels import RBF, DotProduct, Matern

__all__ = ["RBF", "DotProduct", "Exponentiation", "Matern", "Product", "Sum"]
