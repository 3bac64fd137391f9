"""Mixins of every estimator: a version stamp, and containers instead of arrays as output."""

import warnings

from sklearn.base import TransformerMixin

from skpot import __version__
from skpot._sklearn import InconsistentVersionWarning


class VersionedEstimator:
    """Stamp pickles with the version of skpot and warn when another version reads them.

    scikit-learn does this for its own estimators only. To be placed left of `BaseEstimator`.
    """

    def __getstate__(self):
        return {**super().__getstate__(), "_skpot_version": __version__}

    def __setstate__(self, state):
        state = dict(state)
        saved = state.pop("_skpot_version", "unknown")
        if saved != __version__:
            warnings.warn(
                InconsistentVersionWarning(
                    estimator_name=f"{type(self).__name__} of skpot",
                    current_sklearn_version=__version__,
                    original_sklearn_version=saved,
                ),
                stacklevel=2,
            )
        super().__setstate__(state)


class ContainerOutput(TransformerMixin):
    """Transformer whose output is a container that no DataFrame can replace.

    `set_output` exists, because `Pipeline.set_output` calls it on every step, and does nothing;
    neither does the global configuration. To be placed left of `BaseEstimator`.
    """

    def __init_subclass__(cls, auto_wrap_output_keys=None, **kwargs):
        super().__init_subclass__(auto_wrap_output_keys=auto_wrap_output_keys, **kwargs)

    def set_output(self, *, transform=None):
        """Return self; the output is always the container.

        Parameters
        ----------
        transform : str or None, default=None
            Ignored.

        Returns
        -------
        self : estimator
        """
        return self
