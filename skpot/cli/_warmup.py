"""`skpot warmup`."""

import time
from typing import Annotated

import typer

from ._console import command, say


@command
def warmup(
    every: Annotated[
        bool, typer.Option("--all", help="Include all descriptors, forms of SOAP and presets.")
    ] = False,
) -> None:
    """Compile everything now, once, so that no later command has to wait for it."""
    from skpot.core import environment

    start = time.perf_counter()
    compile_all(every)
    folder, writable = environment.compiled_cache()
    say(f"compiled or found in the cache in {time.perf_counter() - start:.1f} s")
    say(f"cache: {folder}" if writable else "no cache folder: every process compiles anew")


def compile_all(every: bool = False) -> None:
    """Call the functions of SOAP's power spectrum, SparseGPR and Calculator on tiny structures.

    With `every`, also call those of all descriptors and of `make_potential`.
    """
    _use_models(every)
    if every:
        _use_descriptors()


def _use_descriptors():
    """Call values, pull-back and Jacobian of every descriptor and of all forms of SOAP."""
    import numpy as np

    from skpot import descriptors
    from skpot.testing import sample_structures

    soap = dict(cutoff=3.0, n_max=2, l_max=2, cache=False)
    structures = [
        descriptors.SOAP(**soap, body_order=2),
        descriptors.SOAP(**soap, body_order=4, n_channels=1),
        descriptors.SOAP(**soap, compression="totals"),
        descriptors.SOAP(**soap, compression="tensor", n_channels=2),
        descriptors.SymmetryFunctions(cutoff=3.0, n_radial=2, n_angular=1, cache=False),
        descriptors.PairBasis(cutoff=3.0, n_splines=4, cache=False),
        descriptors.TripletBasis(cutoff=3.0, n_splines=4, cache=False),
    ]
    molecules = [descriptors.InverseDistances(), descriptors.CoulombMatrix()]
    jobs = [(descriptor, sample_structures()) for descriptor in structures]
    # For less than fifty molecules, other functions would run, on one thread.
    cluster = next(atoms for atoms in sample_structures() if not atoms.pbc.any())
    jobs += [(descriptor, [cluster] * 60) for descriptor in molecules]
    for descriptor, frames in jobs:
        features = descriptor.fit_transform(frames)
        features.pull_back(np.zeros_like(features.values))
        features.jacobian([0])


def _use_models(every):
    import numpy as np
    from sklearn.pipeline import make_pipeline

    from skpot.compose import make_potential
    from skpot.data import Targets
    from skpot.descriptors import SOAP
    from skpot.kernels import RBF, DotProduct
    from skpot.models import SparseGPR
    from skpot.testing import sample_structures

    X = sample_structures()
    y = Targets(
        [-16.0, -15.0, -18.0, -2.0],
        [np.zeros((len(atoms), 3)) for atoms in X],
        [np.zeros(6), None, None, None],
    )
    for kernel, selection in ((DotProduct(), "cur"), (RBF(), "fps")):
        soap = SOAP(cutoff=3.0, n_max=2, l_max=2, cache=False)
        model = make_pipeline(soap, SparseGPR(kernel, 4, selection=selection)).fit(X, y)
        model.predict(X, return_std=True)
        _move(X[0], model)
    soap.set_params(cache=True)
    soap.fit_transform(X)[[2, 0]]
    if every:
        for size in (0.0, 1e7):  # the sparse and the exact form
            model = make_potential().set_params(regressor__max_pairs=size).fit(X, y)
            model.predict(X, return_std=True)
            _move(X[0], model)


def _move(atoms, model):
    from skpot.md import Calculator

    atoms = atoms.copy()
    atoms.calc = Calculator(model)
    atoms.get_forces()
