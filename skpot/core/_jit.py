"""The one place that configures Numba.

Every compiled function of skpot has one of these decorators:

- `jit`: serial, callable from Python;
- `inner_jit`: called by compiled functions only, allocates nothing and returns no arrays;
- `array_jit`: called by compiled functions only, returns arrays;
- `inline_jit`: as `inner_jit`, but compiled into its callers, for use in inner loops;
- `exact_jit`, `exact_inline_jit`: floating-point operations are done in the order written.

`run_blocks` runs compiled functions on threads.
"""

import functools
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numba
from numba import extending

from ._code_cache import CodeCache, warn_once

# `reassoc`, `contract` ... allow sums to be vectorized. Without nnan and ninf, NaN propagates.
FASTMATH = {"nsz", "arcp", "contract", "afn", "reassoc"}

# Leaving out wrappers that nothing calls halves the time of compilation.
# `_nrt` (reference counting) is always set: otherwise a function takes it from its first caller.
_OPTIONS = {
    "error_model": "numpy",
    "fastmath": FASTMATH,
    "no_cfunc_wrapper": True,
    "_nrt": True,
}
_INNER = {"no_cpython_wrapper": True}
# No reference counting, which would cost more than the work itself where arrays are small. Such a
# function cannot allocate (the compiler refuses) and must not return arrays: nobody would own them.
_BARE = {"_nrt": False}

_forked = False


def _mark_fork():
    global _forked
    _forked = True


# A forked child has a copy of the pool but none of its threads, so it must run serially.
os.register_at_fork(after_in_child=_mark_fork)


def _decorate(function, **options):
    options = _OPTIONS | {"nogil": True} | options
    compiled = numba.njit(**options)(function)
    try:
        compiled._cache = CodeCache(function)  # in place of Numba's, which cache=True would set
    except RuntimeError as error:  # neither the folder of the package nor that of the user
        warn_once(error)
    return compiled


def _wrappers(function):
    """Return the options for functions that Python does not call: those with an underscore."""
    return _INNER if function.__name__.startswith("_") else {}


def jit(function):
    """Compile a serial function with the project's flags."""
    return _decorate(function)


def inline_jit(function):
    """Compile a function into its callers, for use in inner loops; see `inner_jit`."""
    return _decorate(function, forceinline=True, **_wrappers(function), **_BARE)


def inner_jit(function):
    """Compile a function for compiled callers; it neither allocates nor returns arrays."""
    return _decorate(function, **_INNER, **_BARE)


def array_jit(function):
    """Compile a function for compiled callers that returns arrays."""
    return _decorate(function, **_INNER)


def exact_jit(function):
    """Compile a serial function whose sums are done in the order written."""
    return _decorate(function, fastmath=False)


def exact_inline_jit(function):
    """Compile a function into its callers, with sums in the order written; see `exact_jit`."""
    return _decorate(function, fastmath=False, forceinline=True, **_wrappers(function))


def compile_for(signature, function):
    """Compile a function for one signature; the result is not kept on disk."""
    return numba.njit(signature, **_OPTIONS, **_INNER)(function)


def variants(table):
    """Make the decorated function call one of several, chosen by the type of its first argument.

    Only compiled functions can call it; the choice is made when these are compiled.

    Parameters
    ----------
    table : dict of type to compiled function
        Keys are NamedTuple classes. All functions must have the same decorator.
    """

    def decorate(function):
        def choose(kind, *rest):
            return table[kind.instance_class].py_func

        options = next(iter(table.values())).targetoptions
        # Not strict: the variants have the signature of `function`, not that of `choose`.
        extending.overload(function, jit_options=options, strict=False)(choose)
        return function

    return decorate


def _one_of_many_ranks():
    """Return whether MPI runs several processes and the user has not set a number of threads."""
    ranks = [int(os.environ.get(name, "1")) for name in ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE")]
    return max(ranks) > 1 and "NUMBA_NUM_THREADS" not in os.environ


_IS_RANK = _one_of_many_ranks()


def n_threads():
    """Return how many threads `run_blocks` may use in this process and thread."""
    if _IS_RANK or _forked or threading.current_thread() is not threading.main_thread():
        return 1
    return numba.get_num_threads()


@functools.cache
def _pool(size):
    return ThreadPoolExecutor(size, thread_name_prefix="skpot")


def run_blocks(kernel, n, *args, smallest=16):
    """Run `kernel(lo, hi, *args)` on blocks of 0 ... n, which must not depend on each other.

    The blocks run on Python threads, which works because kernels release the interpreter lock.
    Numba's own threads would need a second, parallel version of each kernel, which takes as long to
    compile again. A block has at least `smallest` items, whose work should take longer than the 50
    microseconds that starting a task costs.
    """
    threads = n_threads()
    if threads == 1 or n <= smallest:
        kernel(0, n, *args)
        return
    # More blocks would balance the load better, but threads would wait for the interpreter more.
    step = max(smallest, -(-n // (4 * threads)))
    begins, lock = iter(range(0, n, step)), threading.Lock()

    def work():
        while True:
            with lock:
                lo = next(begins, n)
            if lo == n:
                return
            kernel(lo, min(n, lo + step), *args)

    # The calling thread works too, since threads of the pool take a while to wake up.
    others = [_pool(threads - 1).submit(work) for _ in range(threads - 1)]
    work()
    for other in others:
        other.result()
