"""Cost of one molecular-dynamics step by the number of atoms, and what does not grow with it.

Each step moves all atoms a little and asks ASE for the forces, energy and stress with them, through
skpot.Calculator, neighbor list refreshed from its skin; `with_std_s` is the step with energy_std
too. The overhead is the step of the smallest structure less its atoms at the cost per atom of the
largest.

The floor of an evaluation adds matrix products of atoms x references x features (two of them) to
the floors of the SOAP kernels, at rates measured in the same run.
"""

from _common import StageClock, arguments, elapsed, emit, floor_seconds, measure, report_machine

OPTIONS = arguments(__doc__, references=(1000, "n_sparse"))

import _systems  # noqa: E402
import numpy as np  # noqa: E402
from _soap_costs import pull_back_cost, shape_of, values_cost  # noqa: E402

import skpot  # noqa: E402
from skpot.md import CompiledPotential  # noqa: E402
from skpot.md._skin import SkinnedStructure  # noqa: E402

REPEATS = {8: (1, 1, 1), 64: (2, 2, 2), 216: (3, 3, 3), 1000: (5, 5, 5), 8000: (10, 10, 10)}


def step_of(model, atoms, uncertainty):
    """Return a function that makes one step and what it evaluates."""
    atoms.calc = skpot.Calculator(model, uncertainty=uncertainty)
    start, rng = atoms.positions.copy(), np.random.default_rng(0)

    def step():
        atoms.positions = start + rng.normal(scale=0.01, size=start.shape)
        return atoms.get_forces()  # energy and stress come with them

    return step


def main():
    rates = report_machine(OPTIONS, "ase")
    model = _systems.silicon_potential(OPTIONS.references, OPTIONS.quick)
    soap, regressor = model[0], model[-1]
    records = []
    for n_atoms, repeat in REPEATS.items():
        if OPTIONS.quick and n_atoms > 64:
            continue
        atoms = _systems.silicon(repeat)
        shape = shape_of(soap.transform([atoms]), soap)
        _, with_std = measure(step_of(model, atoms, True), OPTIONS.rounds)
        step = step_of(model, atoms, False)
        _, plain = measure(step, OPTIONS.rounds)
        clock = StageClock()
        with clock.wrapping(
            (SkinnedStructure, "neighbors", "neighbors"),
            (CompiledPotential, "_run", "kernels"),
        ):
            with clock.stage("rest"):
                for _ in range(OPTIONS.rounds):
                    step()
        parts = clock.cpu if OPTIONS.threads == 1 else clock.wall
        cost = np.array(values_cost(shape)) + np.array(pull_back_cost(shape))
        m, p = regressor.reference_features_.shape
        floor = floor_seconds(*cost, rates) + floor_seconds(4.0 * n_atoms * m * p, 0.0, rates)
        seconds = elapsed(plain, OPTIONS.threads)
        records.append(
            {
                "bench": "calculator",
                "atoms": n_atoms,
                "threads": OPTIONS.threads,
                **plain,
                "us_per_atom": seconds / n_atoms * 1e6,
                "with_std_s": elapsed(with_std, OPTIONS.threads),
                "parts_s": {name: value / OPTIONS.rounds for name, value in parts.items()},
                "references": m,
                "floor_s": floor,
                "times_floor": seconds / floor,
            }
        )
    largest, smallest = records[-1], records[0]
    overhead = elapsed(smallest, OPTIONS.threads)
    overhead -= smallest["atoms"] * largest["us_per_atom"] * 1e-6
    for record in records:
        emit(record, OPTIONS.out)
    about = {"bench": "calculator", "quantity": "overhead", "threads": OPTIONS.threads}
    emit(about | {"overhead_s": overhead}, OPTIONS.out)


if __name__ == "__main__":
    main()
