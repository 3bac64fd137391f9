"""`skpot warmup`."""

import time

from ._console import command, say


def register(app):
    """Add the command to the application."""
    app.command("warmup", short_help="Compile everything now, once.")(warmup)


@command
def warmup():
    """Compile everything now, once, so that no later command has to wait."""
    from skpot.core import _environment

    start = time.perf_counter()
    compile_all()
    folder, writable = _environment.compiled_cache()
    say(f"compiled or found in the cache in {time.perf_counter() - start:.1f} s")
    if _environment.n_threads_available() == 1:
        say("one thread: the parallel functions are not needed here and were left out")
    say(f"cache: {folder}" if writable else "no cache folder: every process compiles anew")


def compile_all():
    """Call every compiled function with tiny structures, on all threads and on one."""
    from skpot.testing._compare import serially

    _use_everything()
    serially(_use_everything)


def _use_everything():
    import numpy as np
    from sklearn.pipeline import make_pipeline

    from skpot.data import Targets
    from skpot.descriptors import SOAP
    from skpot.kernels import RBF, DotProduct
    from skpot.md import Calculator
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
    soap.set_params(cache=True)
    soap.fit_transform(X)[[2, 0]]
    atoms = X[0].copy()
    atoms.calc = Calculator(model)
    atoms.get_forces()
