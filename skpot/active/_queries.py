"""Queries: which structures to label next."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator

from .._parameters import number, whole
from ..data import taken_of
from ..data.order import drawn_seed, keyed_uniform
from ..exceptions import InputError, InputTypeError, SkpotWarning, warn_once
from ._asked import candidates_of, joined, labeled_of
from ._criteria import Criterion, Information, LargestForce, MeanVariance
from ._greedy import Greedy, Pick
from ._knowledge import knowledge_of
from ._pool import Likeness, Pool, checked, means, sketches
from ._subject import Subject

if TYPE_CHECKING:
    from typing import Any

    from skpot.typing import RandomState


class Selection(NamedTuple):
    """What a query chose, in the order of its choice."""

    indices: np.ndarray  # (n,)
    gains: np.ndarray  # (n,) what each was worth when it was chosen; NaN for random ones
    forces_std: list  # of arrays (n_atoms,) in eV/Å, None where a query does not look at them
    utilities: np.ndarray  # (n, n_candidates), or (n, 0) if they were not asked for


class _Question(NamedTuple):
    """What is asked: the candidates, and what is labeled already."""

    subject: Subject
    pool: Pool
    known: tuple | None  # features and labels
    likeness: Likeness
    place: np.ndarray  # what indices of candidates mean to the user
    seed: int


class Query(BaseEstimator):
    """What all queries share; a subclass says by `_picks` which candidates it prefers."""

    def query(
        self,
        X: Any,
        y: Any = None,
        candidates: Any = None,
        batch_size: int = 1,
        return_utilities: bool = False,
    ) -> Any:
        """Choose the structures whose labels are worth most.

        Parameters
        ----------
        X : list[Atoms], Frames, AtomicFeatures or None
            Structures, labeled or not.
        y : Targets or array of shape (n_samples,), optional
            Their labels. A structure is labeled if it has an energy, forces or a stress; NaN is no
            energy. None stands for no labels at all.
        candidates : list[Atoms], Frames, AtomicFeatures or array of int, optional
            Structures to choose from, or their indices in X. None stands for all structures in X
            that have no labels. Of `Frames` few are in memory at a time.
        batch_size : int, default=1
            Number of structures to choose.
        return_utilities : bool, default=False
            Whether to return what candidates are worth.

        Returns
        -------
        indices : ndarray of int of shape (n,)
            The chosen candidates, the best one first: indices into `candidates`, or into X if these
            are None or indices. Structures that are nearly equal to another one that is chosen or
            labeled are left out, so that they may be fewer than `batch_size`.
        utilities : ndarray of shape (n, n_candidates)
            Only with `return_utilities`: what candidates were worth before each choice; NaN for
            those that were chosen or left out. After the first choice, candidates that could not be
            the best one have an upper bound, what they were worth before.

        Warns
        -----
        SkpotWarning
            If there are fewer different candidates than `batch_size`.
        """
        chosen = self.select(X, y, candidates, batch_size, return_utilities)
        return (chosen.indices, chosen.utilities) if return_utilities else chosen.indices

    def select(
        self,
        X: Any,
        y: Any = None,
        candidates: Any = None,
        batch_size: int = 1,
        return_utilities: bool = False,
    ) -> Selection:
        """Choose as `query` does, and say why.

        Returns
        -------
        selection : Selection
            `indices`, what each was worth when it was chosen (`gains`), and the deviation of each
            atom's force in it at that time in eV/Å (`forces_std`), which is None where the query
            does not ask a model.
        """
        batch_size = whole("batch_size", batch_size, low=1)
        question = self._ask(X, y, candidates)
        picks = self._picks(question, batch_size, [], return_utilities)
        if len(picks) < batch_size:
            warn_once(
                "few candidates",
                f"{batch_size} structures were asked for, but only {len(picks)} of the "
                f"{len(question.pool)} candidates differ from each other and from what is labeled.",
                SkpotWarning,
            )
        indices = np.array([pick.index for pick in picks], dtype=np.int64)
        return Selection(
            question.place[indices],
            np.array([pick.gain for pick in picks], dtype=float),
            [pick.forces_std for pick in picks],
            np.array([pick.gains for pick in picks]).reshape(len(picks), -1),
        )

    def _ask(self, X, y, candidates) -> _Question:
        """Return what is asked, with features that are fitted."""
        model: Any = self.model  # type: ignore[attr-defined]
        subject = Subject(model)
        X = checked([] if X is None else X)
        labeled, labels = labeled_of(X, y)
        asked, place = candidates_of(X, labeled, candidates)
        seed = drawn_seed(self.random_state)  # type: ignore[attr-defined]
        pool = Pool(asked, subject)
        old = Pool(taken_of(X, labeled) if len(labeled) else [], subject)
        if not subject.fitted:
            sample = pool.part(pool.sample(seed))
            subject.learn_features(joined(old.part(old.sample(seed)), sample))
        likeness, known = Likeness(), None
        if labels is not None and len(old):
            if not subject.fitted:
                subject.learn_labels(old.X, labels)
            known = old.features(np.arange(len(old))), labels
            for mean in means(known[0]):
                likeness.add(mean)
        return _Question(subject, pool, known, likeness, place, seed)

    def _picks(self, question: _Question, n: int, taken: list[int], with_gains: bool) -> list[Pick]:
        raise NotImplementedError


class _ByLabels(Query):
    """Query that compares what the labels of candidates would tell."""

    def __init__(
        self, model: Any, *, n_references: int = 300, random_state: RandomState = 0
    ) -> None:
        self.model = model
        self.n_references = n_references
        self.random_state = random_state

    def _criterion(self) -> Criterion:
        raise NotImplementedError

    def _picks(self, question, n, taken, with_gains):
        n_references = whole("n_references", self.n_references, low=1)
        sample = question.pool.sample_features(question.seed)
        if question.known is not None:
            sample = np.concatenate([question.known[0], sample])
        knowledge = knowledge_of(
            question.subject, sample, question.known, n_references, question.seed
        )
        greedy = Greedy(question.pool, knowledge, self._criterion(), question.likeness)
        return greedy.choose(n, taken, with_gains)


class DOptimal(_ByLabels):
    r"""The structures whose labels have most information, given each other.

    With rows :math:`A_s` of all labels of a candidate s, each divided by its noise, in coefficients
    whose prior is the unit matrix, and :math:`P = 1 + \sum A^T A` over all that is labeled, the
    next structure is that of the largest

    .. math:: \frac{1}{2 n_s} \log \det (1 + A_s P^{-1} A_s^T)
        + \frac12 \log (1 + a_s P^{-1} a_s^T)

    in nats, and P then grows by :math:`A_s^T A_s`. The first term is that of D-optimality for each
    of the :math:`n_s` labels, the second one that of the energy, whose row is :math:`a_s`: forces,
    of which there are many, do not tell how far apart the energies of different structures are.
    Rare structures come first, however few there are: for the errors of common ones, ask
    `VOptimal`.
    Energy, forces and stress count as far as the model learns from them. No label is needed
    beforehand, and nothing of the size of all candidates times all references is ever held.

    Parameters
    ----------
    model : Pipeline
        A pipeline that ends in a regressor, fitted or not. A fitted one gives features, kernel and
        noise, and what it has learned from is known, unless `query` is given labeled structures,
        which count instead. Of one that is not fitted the features are fitted to candidates and
        labeled structures, and kernel and noise follow from the labels, if there are any. Every
        regressor of skpot will do; others are asked for their features alone.
    n_references : int, default=300
        Number of environments that stand for all: they are chosen among candidates and labeled
        structures, beside references that a fitted model has.
    random_state : int, RandomState or None, default=0
        Seed of the sample from which references are chosen.

    References
    ----------
    V. V. Fedorov, Theory of Optimal Experiments (1972); E. V. Podryapinkin, A. V. Shapeev, Comput.
    Mater. Sci. 140, 171 (2017), for potentials; J. Kirsch, A. van Amersfoort, Y. Gal, NeurIPS 32
    (2019), for batches that are conditioned on themselves.

    Examples
    --------
    >>> import skpot
    >>> from skpot.active import DOptimal
    >>> X, y, pool, _ = skpot.datasets.load_silicon(return_X_y=True)
    >>> query = DOptimal(skpot.make_potential("fast"), n_references=50)
    >>> query.query(X[:5], y[:5], candidates=pool[:10], batch_size=3).shape
    (3,)
    """

    def _criterion(self):
        return Information()


class VOptimal(_ByLabels):
    r"""The structures whose labels lower the mean variances of all labels most.

    With :math:`A_k` the rows of all energies per atom, of all forces and of all components of
    stress of the candidates, :math:`n_k` of each kind, the mean variances in units of the noise are

    .. math:: \sum_k \frac{1}{n_k} \mathrm{tr}\, A_k P^{-1} A_k^T

    and the next structure is that whose labels lower their sum most. This is the query to begin
    with. Structures count as much as they are frequent; `DOptimal` is the better one to find what
    is rare. After the first choice it is taken for granted that a candidate is worth less the more
    is known, which need not hold to the last digit for this criterion.

    Parameters
    ----------
    model, n_references, random_state
        See `DOptimal`.

    References
    ----------
    V. V. Fedorov, Theory of Optimal Experiments (1972), for I- or V-optimality.

    Examples
    --------
    >>> import skpot
    >>> pool = skpot.datasets.load_silicon().X_test[:10]
    >>> query = skpot.active.VOptimal(skpot.make_potential("fast"))
    >>> query.query(None, candidates=pool, batch_size=3).shape
    (3,)
    """

    def _criterion(self):
        return MeanVariance()


class MaxForcesStd(_ByLabels):
    """The structures with the largest deviation of the force on an atom.

    Deviations are those that remain once all that were chosen before are labeled.

    Parameters
    ----------
    model, n_references, random_state
        See `DOptimal`.

    Examples
    --------
    >>> import skpot
    >>> pool = skpot.datasets.load_silicon().X_test[:10]
    >>> query = skpot.active.MaxForcesStd(skpot.make_potential("fast"))
    >>> chosen = query.select(None, candidates=pool)
    >>> len(chosen.forces_std[0]) == len(pool[chosen.indices[0]])
    True
    """

    def _criterion(self):
        return LargestForce()

    def _picks(self, question, n, taken, with_gains):
        first = question.pool.features([0]) if len(question.pool) else None
        if first is not None and first.derivatives is None:
            raise InputError(
                "MaxForcesStd needs forces: pass structures, or features with derivatives."
            )
        return super()._picks(question, n, taken, with_gains)


class FarthestPoint(Query):
    """The structures that are farthest from those chosen or labeled before.

    Distances are those of the mean features of structures, by a random projection on 64
    dimensions, which keeps them to about 10 %.

    Parameters
    ----------
    model : Pipeline
        A pipeline whose features are compared, fitted or not; labels and noise play no part.
    random_state : int, RandomState or None, default=0
        Seed of the projection.

    References
    ----------
    Y. Eldar et al., IEEE Trans. Image Process. 6, 1305 (1997).

    Examples
    --------
    >>> import skpot
    >>> data = skpot.datasets.load_silicon()
    >>> query = skpot.active.FarthestPoint(skpot.make_potential("fast"))
    >>> query.query(data.X[:5], data.y[:5], candidates=data.X_test).shape
    (1,)
    """

    def __init__(self, model: Any, *, random_state: RandomState = 0) -> None:
        self.model = model
        self.random_state = random_state

    def _picks(self, question, n, taken, with_gains):
        pool, seed = question.pool, question.seed
        blocks = [sketches(pool.features(block), seed) for block in pool.blocks()]
        points = np.concatenate(blocks).astype(float)
        nearest = np.full(len(pool), np.inf)
        old = [] if question.known is None else list(sketches(question.known[0], seed))
        for point in [*old, *points[taken]]:
            nearest = np.minimum(nearest, np.linalg.norm(points - point, axis=1))
        if not old and not taken:  # the first is the farthest from the mean of all
            nearest = np.linalg.norm(points - points.mean(axis=0), axis=1)
        for i in taken:
            question.likeness.add(next(means(pool.features([i]))))
        return _best_of(question, nearest, n, taken, with_gains, points)


class Random(Query):
    """Structures drawn at random, without near-duplicates.

    Which ones does not depend on the order of the candidates.

    Parameters
    ----------
    model : Pipeline
        A pipeline whose features tell near-duplicates, fitted or not.
    random_state : int, RandomState or None, default=0
        Seed.

    Examples
    --------
    >>> import skpot
    >>> pool = skpot.datasets.load_silicon().X_test
    >>> query = skpot.active.Random(skpot.make_potential("fast"))
    >>> query.query(None, candidates=pool, batch_size=3).shape
    (3,)
    """

    def __init__(self, model: Any, *, random_state: RandomState = 0) -> None:
        self.model = model
        self.random_state = random_state

    def _picks(self, question, n, taken, with_gains):
        for i in taken:
            question.likeness.add(next(means(question.pool.features([i]))))
        worth = keyed_uniform(question.pool.keys, question.seed)
        picks = _best_of(question, worth, n, taken, with_gains, None)
        return [pick._replace(gain=np.nan) for pick in picks]


class Mixture(Query):
    """Structures of another query, but a share of them at random.

    Random structures spare what is frequent and what the query does not see. They come first, so
    that the others are chosen given them. `DOptimal` alone takes few of those structures that are
    alike, and a small model that learns from few of them may miss their energies; half of them at
    random costs some of what is gained on rare ones, and `VOptimal` needs no random ones for it.

    Parameters
    ----------
    base : Query
        The other query.
    share : float, default=0.5
        The share of each batch that is random, rounded to whole structures.
    random_state : int, RandomState or None, default=0
        Seed of the random ones.

    Examples
    --------
    >>> import skpot
    >>> from skpot.active import DOptimal, Mixture
    >>> X, y, pool, _ = skpot.datasets.load_silicon(return_X_y=True)
    >>> query = Mixture(DOptimal(skpot.make_potential("fast"), n_references=50))
    >>> query.query(X[:5], y[:5], candidates=pool[:10], batch_size=4).shape
    (4,)
    """

    def __init__(self, base: Query, share: float = 0.5, *, random_state: RandomState = 0) -> None:
        self.base = base
        self.share = share
        self.random_state = random_state

    @property
    def model(self) -> Any:
        """The model of the other query."""
        if not isinstance(self.base, Query):
            got = repr(self.base) if isinstance(self.base, str) else type(self.base).__name__
            raise InputTypeError(f"base must be a query, such as DOptimal(model), got {got}.")
        return self.base.model  # type: ignore[attr-defined]

    def _picks(self, question, n, taken, with_gains):
        share = number("share", self.share, low=0.0, high=1.0)
        n_random = round(share * n)
        picks = []
        if n_random:
            picks = Random(self.model)._picks(question, n_random, taken, with_gains)
        taken = [*taken, *(pick.index for pick in picks)]
        seed = drawn_seed(self.base.random_state)  # type: ignore[attr-defined]
        if n > len(picks):
            question = question._replace(seed=seed)
            picks += self.base._picks(question, n - len(picks), taken, with_gains)
        return picks


def _best_of(question, worth, n, taken, with_gains, points):
    """Return the n candidates of largest worth; `points` make it fall to their distance."""
    worth = worth.copy()
    worth[taken] = np.nan
    order = np.argsort(np.argsort(question.pool.keys, kind="stable"), kind="stable")
    picks: list[Pick] = []
    while len(picks) < n and not np.isnan(worth).all():
        best = np.flatnonzero(worth == np.nanmax(worth))
        i = int(best[np.argmin(order[best])])
        mean = next(means(question.pool.features([i])))
        if not question.likeness.has(mean):
            question.likeness.add(mean)
            gains = worth.copy() if with_gains else worth[:0]
            picks.append(Pick(i, float(worth[i]), gains, None))
            if points is not None:
                distance = np.linalg.norm(points - points[i], axis=1)
                # The first of all was the farthest from the mean, which is no distance to others.
                first = len(picks) == 1 and not taken and question.known is None
                worth = np.where(
                    np.isnan(worth), np.nan, distance if first else np.minimum(worth, distance)
                )
        worth[i] = np.nan
    return picks
