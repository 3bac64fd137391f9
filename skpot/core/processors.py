"""Processors that libraries are compiled for, and what each must offer to run them."""

from typing import NamedTuple

import llvmlite.binding as llvm

from ..exceptions import InputError
from .toolchain import compiler, first_error, run

# Where CPUID tells of a feature: leaf, register (0 EAX ... 3 EDX), bit; Intel SDM volume 2A and
# AMD APM volume 3. The last number has the bits of XCR0 that the operating system must set.
_CPUID = {
    "sse3": (1, 2, 0, 0),
    "ssse3": (1, 2, 9, 0),
    "sse4.1": (1, 2, 19, 0),
    "sse4.2": (1, 2, 20, 0),
    "popcnt": (1, 2, 23, 0),
    "avx": (1, 2, 28, 0x6),
    "avx2": (7, 1, 5, 0x6),
    "bmi": (7, 1, 3, 0),
    "bmi2": (7, 1, 8, 0),
    "f16c": (1, 2, 29, 0x6),
    "fma": (1, 2, 12, 0x6),
    "lzcnt": (0x80000001, 2, 5, 0),
    "movbe": (1, 2, 22, 0),
    "avx512f": (7, 1, 16, 0xE6),
    "avx512cd": (7, 1, 28, 0xE6),
    "avx512bw": (7, 1, 30, 0xE6),
    "avx512dq": (7, 1, 17, 0xE6),
    "avx512vl": (7, 1, 31, 0xE6),
    "avx512ifma": (7, 1, 21, 0xE6),
    "avx512vbmi": (7, 2, 1, 0xE6),
    "avx512vbmi2": (7, 2, 6, 0xE6),
    "avx512vnni": (7, 2, 11, 0xE6),
    "avx512bitalg": (7, 2, 12, 0xE6),
    "avx512vpopcntdq": (7, 2, 14, 0xE6),
    "gfni": (7, 2, 8, 0),
    "vaes": (7, 2, 9, 0x6),
    "vpclmulqdq": (7, 2, 10, 0x6),
    "fma4": (0x80000001, 2, 16, 0x6),
    "xop": (0x80000001, 2, 11, 0x6),
    "tbm": (0x80000001, 2, 21, 0),
    "sse4a": (0x80000001, 2, 6, 0),
}
_NAMES = tuple(_CPUID)
# The levels of the x86-64 psABI, from old to new: each has the features of those before it.
_LEVELS = {
    "x86-64-v2": _NAMES[: _NAMES.index("avx")],
    "x86-64-v3": _NAMES[: _NAMES.index("avx512f")],
    "x86-64-v4": _NAMES[: _NAMES.index("avx512ifma")],
}
_ARM_TRIPLE = "aarch64-unknown-linux-gnu"
_CROSS = ("AARCH64_CC", "aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu")


class Processor(NamedTuple):
    """What code is compiled for.

    Parameters
    ----------
    name : str
        As users know it.
    triple, cpu, features : str
        For LLVM.
    needs : sequence of str
        Features without which the code does not run.
    """

    name: str
    triple: str
    cpu: str
    features: str = ""
    needs: tuple = ()

    @property
    def is_foreign(self) -> bool:
        """Whether it has another instruction set than this machine."""
        return self.triple == _ARM_TRIPLE and own_kind() != "aarch64"

    def machine(self):
        """Return LLVM's target machine."""
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
        target = llvm.Target.from_triple(self.triple)
        return target.create_target_machine(
            cpu=self.cpu, features=self.features, opt=3, reloc="pic"
        )

    def needs_in_cpuid(self):
        """Return the features that it needs: names, and the numbers of CPUID as text for C."""
        return [(name, ", ".join(map(str, _CPUID[name]))) for name in self.needs]


def processors(cpu, folder):
    """Return the processors that a name stands for, from old to new, and the C compiler for them.

    Parameters
    ----------
    cpu : str
        "portable" for all levels of this machine's kind, "host" for this machine's own processor,
        "aarch64" for 64-bit ARM on Linux, or a name that LLVM and the C compiler know.
    folder : Path
        A folder to work in.

    Returns
    -------
    processors : list of Processor
    command : list of str
        The C compiler.
    """
    triple, on_arm = llvm.get_process_triple(), own_kind() == "aarch64"
    if cpu == "aarch64" and not on_arm:
        return [Processor(cpu, _ARM_TRIPLE, "generic")], compiler(*_CROSS)
    cc = compiler("CC", "cc")
    if cpu in ("portable", "aarch64") and on_arm:
        return [Processor("aarch64", triple, "generic")], cc
    if cpu == "portable":
        return [Processor(name, triple, name, "", needs) for name, needs in _LEVELS.items()], cc
    if cpu == "host":
        own = llvm.get_host_cpu_features()
        needs = tuple(name for name in _CPUID if own.get(name))
        name = llvm.get_host_cpu_name()
        return [Processor(name, triple, name, own.flatten(), needs)], cc
    return [Processor(cpu, triple, cpu, "", _needs(cpu, cc, folder, on_arm))], cc


def own_kind():
    """Return the instruction set of this machine."""
    on_arm = llvm.get_process_triple().startswith(("aarch64", "arm"))
    return "aarch64" if on_arm else "x86-64"


def _needs(cpu, cc, folder, on_arm):
    """Return the features of a named processor, or refuse it: LLVM accepts any name."""
    if cpu in _LEVELS and not on_arm:
        return _LEVELS[cpu]
    (folder / "empty.c").write_text("")
    command = [*cc, f"-mcpu={cpu}" if on_arm else f"-march={cpu}", "-dM", "-E", "empty.c"]
    result = run(command, folder)
    if result.returncode:
        raise InputError(
            f"the compiler {cc[0]} knows no processor {cpu!r}. Leave out the processor for a "
            "library that runs on every node, or pass host, x86-64-v3, znver4 ... The compiler "
            f"says: {first_error(result)}"
        )
    macros = {line.split()[1] for line in result.stdout.splitlines()}
    return tuple(n for n in _CPUID if f"__{n.upper().replace('.', '_')}__" in macros)
