"""Transformers from structures to `AtomicFeatures`."""

from ._cache import DescriptorCache, descriptor_cache
from ._soap import SOAP

__all__ = ["SOAP", "DescriptorCache", "descriptor_cache"]
