"""The one place that configures Numba.

Every compiled function of skpot is decorated with `jit` (serial), `inner_jit` (called by compiled
functions only; allocates nothing), `array_jit` (the same, but returns arrays), `inline_jit` (part
of inner loops) or `exact_jit` (operations in the order written). `run_chunks` runs kernels on
threads.
"""

import functools
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numba
from numba import extending

from ._code_cache import CodeCache, warn_once

# `reassoc`, `contract` ... let sums be vectorized; nnan and ninf stay out: NaN must propagate.
FASTMATH = {"nsz", "arcp", "contract", "afn", "reassoc"}

# Without wrappers that nothing calls a function compiles in half the time.
# Reference counts are asked for because a function would inherit from the first that calls it.
_OPTIONS = {
    "error_model": "numpy",
    "fastmath": FASTMATH,
    "no_cfunc_wrapper": True,
    "_nrt": True,
}
_INNER = {"no_cpython_wrapper": True}
# Without reference counts, which cost more than the work where arrays are small. What is compiled
# so can allocate nothing (the compiler refuses), and must not return arrays: nobody owned them.
_BARE = {"_nrt": False}

_forked = False


def _mark_fork():
    global _forked
    _forked = True


# A forked child has the pool but not its threads; it runs serially.
os.register_at_fork(after_in_child=_mark_fork)


def _decorate(function, **options):
    options = _OPTIONS | {"nogil": True} | options
    compiled = numba.njit(**options)(function)
    try:
        compiled._cache = CodeCache(function)  # as cache=True would set Numba's own
    except RuntimeError as error:  # neither the package nor the home folder is writable
        warn_once(error)
    return compiled


def _wrappers(function):
    """Return options: names with an underscore are not for Python, which would crash on them."""
    return _INNER if function.__name__.startswith("_") else {}


def jit(function):
    """Compile a serial function with the project's flags."""
    return _decorate(function)


def inline_jit(function):
    """Compile a function as `inner_jit` does into its callers, for what inner loops call."""
    return _decorate(function, forceinline=True, **_wrappers(function), **_BARE)


def inner_jit(function):
    """Compile a function for compiled callers alone that neither allocates nor returns arrays."""
    return _decorate(function, **_INNER, **_BARE)


def array_jit(function):
    """Compile a function for compiled callers alone that returns arrays."""
    return _decorate(function, **_INNER)


def exact_jit(function):
    """Compile a serial function whose sums are done as written, whatever it is compiled into."""
    return _decorate(function, fastmath=False)


def exact_inline_jit(function):
    """Compile a function as `exact_jit` does, into its callers."""
    return _decorate(function, fastmath=False, forceinline=True, **_wrappers(function))


def compile_for(signature, function):
    """Compile a function for one signature at once, for its code alone; not kept on disk."""
    return numba.njit(signature, **_OPTIONS, **_INNER)(function)


def variants(table):
    """Let compiled callers of the decorated function run the entry for its first argument's type.

    Parameters
    ----------
    table : dict of type to compiled function
        Keys are NamedTuple classes; the choice is made at compilation. All have one decorator.
    """

    def decorate(function):
        def choose(kind, *rest):
            return table[kind.instance_class].py_func

        options = next(iter(table.values())).targetoptions
        # Not strict: the variants' signatures agree with the function's, not with `choose`'s.
        extending.overload(function, jit_options=options, strict=False)(choose)
        return function

    return decorate


def _one_of_many_ranks():
    """Return whether MPI started several processes like this one, and nobody gave them threads."""
    ranks = [int(os.environ.get(name, "1")) for name in ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE")]
    return max(ranks) > 1 and "NUMBA_NUM_THREADS" not in os.environ


_IS_RANK = _one_of_many_ranks()


def n_threads():
    """Return how many threads `run_chunks` may use here."""
    if _IS_RANK or _forked or threading.current_thread() is not threading.main_thread():
        return 1
    return numba.get_num_threads()


@functools.cache
def _pool(size):
    return ThreadPoolExecutor(size, thread_name_prefix="skpot")


def run_chunks(kernel, n, *args, smallest=16):
    """Run `kernel(lo, hi, *args)` on parts of 0 ... n, which must not depend on each other.

    Python threads take the parts, since kernels release the interpreter: a twin for Numba's own
    threads takes as long to compile as the kernel. Parts have at least `smallest` items, which
    should take longer than the 50 microseconds that a task costs.
    """
    threads = n_threads()
    if threads == 1 or n <= smallest:
        kernel(0, n, *args)
        return
    # More parts would even out less than threads lose by waiting for the interpreter.
    step = max(smallest, -(-n // (4 * threads)))
    begins, lock = iter(range(0, n, step)), threading.Lock()

    def work():
        while True:
            with lock:
                lo = next(begins, n)
            if lo == n:
                return
            kernel(lo, min(n, lo + step), *args)

    # The caller takes part: a thread that has to be woken begins late.
    others = [_pool(threads - 1).submit(work) for _ in range(threads - 1)]
    work()
    for other in others:
        other.result()
