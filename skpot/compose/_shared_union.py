"""Descriptors side by side that check structures and find neighbors only once."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from joblib import parallel_config
from sklearn import config_context
from sklearn.pipeline import FeatureUnion

from .._base import ContainerOutput
from ..data import AtomicFeatures, Frames, SharedBatch, StreamedFeatures, as_batch

if TYPE_CHECKING:
    from typing import Any, Self


class SharedUnion(ContainerOutput, FeatureUnion):
    """A `FeatureUnion` whose descriptors share the check of structures and the neighbor search.

    The descriptor with the longest cutoff must come first: its neighbors include those of the
    others.
    """

    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> Self:
        """Fit the descriptors, as `FeatureUnion.fit` does.

        Those of structures in files are fitted here, one after the other: each gives its passes to
        the workers that joblib may have.
        """
        if isinstance(X, Frames):
            for _, part in self.transformer_list:
                if not isinstance(part, str):  # "drop" or "passthrough"
                    part.fit(X, y, **fit_params)
            return self
        return super().fit(_shared(X), y, **fit_params)

    def fit_transform(self, X: Any, y: Any = None, **params: Any) -> AtomicFeatures:
        """Fit the descriptors and return the features, as `FeatureUnion.fit_transform` does."""
        if isinstance(X, Frames):
            return self.fit(X, y, **params).transform(X)
        with config_context(transform_output="default"):
            return _sharing(super().fit_transform(_shared(X), y, **params))

    def transform(self, X: Any, **params: Any) -> AtomicFeatures:
        """Return the features, as `FeatureUnion.transform` does."""
        here = parallel_config("sequential") if isinstance(X, Frames) else nullcontext()
        with config_context(transform_output="default"), here:
            return _sharing(super().transform(_shared(X), **params))


def _shared(X):
    """Return structures as a batch that all descriptors share; leave others as they are."""
    if isinstance(X, AtomicFeatures | Frames):
        return X
    return SharedBatch(as_batch(X, search_follows=True))


def _sharing(features):
    """Return features of files as those of a shared batch; leave others as they are."""
    return features.sharing() if isinstance(features, StreamedFeatures) else features
