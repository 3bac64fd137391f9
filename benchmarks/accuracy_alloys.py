"""Errors of `make_potential` on alloys of many like metals, by how species are mixed.

Random fcc alloys, strained and rattled, are labeled by the effective-medium theory of ASE, which
needs no data. "chosen" is what the preset takes, "totals" pairs each channel with the sum over
species, and "apart" has as many pseudo-elements as species and none that are alike.
"""

import time

from _accuracy import errors
from _common import arguments, emit, machine, versions

OPTIONS = arguments(
    __doc__,
    elements=("Cu,Ag,Au,Ni,Pd,Pt", "of Al, Cu, Ag, Au, Ni, Pd, Pt"),
    preset=("default", "of make_potential"),
    train=(200, "training structures"),
    held=(100, "test structures"),
    seed=(0, "of the structures"),
)


def alloy(rng, elements):
    """Return a random cell of 4 to 32 atoms near the mean lattice constant of its elements."""
    import numpy as np
    from ase.build import bulk
    from ase.calculators.emt import EMT
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.data import atomic_numbers, reference_states

    size = [(1, 1, 1), (2, 1, 1), (2, 2, 1), (2, 2, 2)][rng.integers(4)]
    some = rng.choice(elements, rng.integers(1, len(elements) + 1), replace=False)
    symbols = rng.choice(some, 4 * int(np.prod(size)))
    lattice = np.mean([reference_states[atomic_numbers[s]]["a"] for s in symbols])
    atoms = bulk("Cu", "fcc", lattice, cubic=True) * size
    atoms.set_chemical_symbols(symbols)
    strain = rng.normal(0.0, 0.03, (3, 3))
    atoms.set_cell(atoms.cell @ (np.eye(3) + 0.5 * (strain + strain.T)), scale_atoms=True)
    atoms.rattle(rng.uniform(0.02, 0.2), rng=rng)
    atoms.calc = EMT()
    labels = {
        "energy": atoms.get_potential_energy(),
        "forces": atoms.get_forces(),
        "stress": atoms.get_stress(),
    }
    atoms.calc = SinglePointCalculator(atoms, **labels)
    return atoms


def labeled(n, rng, elements):
    import skpot

    frames = [alloy(rng, elements) for _ in range(n)]
    labels = ([a.calc.results[kind] for a in frames] for kind in ("energy", "forces", "stress"))
    return frames, skpot.Targets(*labels)


def main():
    import warnings

    import numpy as np

    import skpot

    warnings.simplefilter("ignore", UserWarning)  # energies are relative to those of the crystals
    if OPTIONS.quick:
        OPTIONS.train, OPTIONS.held, OPTIONS.preset = 8, 4, "fast"
    elements, rng = OPTIONS.elements.split(","), np.random.default_rng(OPTIONS.seed)
    X, y = labeled(OPTIONS.train, rng, elements)
    X_test, y_test = labeled(OPTIONS.held, rng, elements)
    apart = {"compression": "alchemical", "n_channels": len(elements), "alchemical_width": 1e-3}
    for mixing, given in {
        "chosen": {},
        "totals": {"compression": "totals"},
        "apart": apart,
    }.items():
        model = skpot.make_potential(OPTIONS.preset, species=elements)
        model.set_params(**{f"features__soap__soap__{k}": v for k, v in given.items()})
        begin = time.process_time()
        model.fit(X, y)
        fit = time.process_time() - begin
        soap = dict(model["features"].transformer_list)["soap"]["soap"]
        record = {
            "bench": "accuracy alloys",
            "elements": elements,
            "preset": OPTIONS.preset,
            "mixing": mixing,
            "chosen": soap.hypers_,
            "features": soap.n_features_out_,
            "fit_cpu_s": fit,
            "test": errors(y_test, model.predict(X_test), range(len(X_test))),
        }
        emit(record | machine() | versions("skpot", "ase"), OPTIONS.out)


if __name__ == "__main__":
    main()
