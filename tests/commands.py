"""Commands as users type them, and labeled structures for them."""

import numpy as np
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from typer.testing import CliRunner

from skpot.cli import app


def copper(n, seed=0):
    rng = np.random.default_rng(seed)
    frames = []
    for i in range(n):
        atoms = bulk("Cu", cubic=True)
        atoms.set_cell(atoms.cell.array * rng.uniform(0.97, 1.03), scale_atoms=True)
        atoms.rattle(0.1, seed=100 * seed + i)
        atoms.calc = EMT()
        labels = {p: atoms.calc.get_property(p, atoms) for p in ("energy", "forces", "stress")}
        atoms.info = {"config_type": ("cold", "hot")[i % 2], "run": f"run-{i % 4}"}
        atoms.calc = SinglePointCalculator(atoms, **labels)
        frames.append(atoms)
    return frames


def run(*args):
    return CliRunner().invoke(app, [str(a) for a in args])


def error(*args):
    """Return the error line of a command that must fail without a traceback."""
    result = run(*args)
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit), result.exception
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.stderr
    return lines[0]
