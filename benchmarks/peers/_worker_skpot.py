"""skpot's side of the comparisons: the jobs below; see _work.py."""

import sys
import time

from _work import G2, G4, emit, peak_mb, potential_step, read_systems, report, rmse, size_of

KEYS = {"energy_key": "dft_energy", "forces_key": "dft_forces", "virial_key": "dft_virial"}


def fit(train, references, path):
    """Fit as gap.py asks for and write the model."""
    import joblib
    from sklearn.pipeline import make_pipeline

    import skpot

    X, y = skpot.read(train, **KEYS)
    model = make_pipeline(
        skpot.SOAP(cutoff=5.0, n_max=8, l_max=6, sigma=0.5, cutoff_width=0.5),
        skpot.SparseGPR(n_sparse=int(references), sigma_energy=0.002, sigma_forces=0.1),
    )
    before, begin = peak_mb(), time.process_time()
    model.fit(X, y)
    seconds = time.process_time() - begin
    used = {"cpu_s": seconds, "before_mb": before, "peak_mb": peak_mb()}
    emit({"quantity": "fit call", "labels": model[-1].n_labels_, **used})
    joblib.dump(model, path)


def predict(path, test, system, rounds):
    """Test errors of a model, and its cost per atom on a system."""
    import joblib
    import numpy as np

    import skpot

    model = joblib.load(path)
    X, y = skpot.read(test, **KEYS)
    p = model.predict(X)
    n = np.array([len(atoms) for atoms in X])
    emit(
        {
            "quantity": "errors",
            "labels": {
                "energy": int(np.isfinite(p.energy - y.energy).sum()),
                "forces": int(sum(np.isfinite(f).sum() for f in y.forces)),
                "stress": int(np.isfinite(y.stress).sum()),
            },
            "energy_meV_atom": 1e3 * rmse([(p.energy - y.energy) / n]),
            "forces_eV_A": rmse([a - b for a, b in zip(p.forces, y.forces, strict=True)]),
            "stress_GPa": 160.21766 * rmse([_full(p.stress) - _full(y.stress)]),
        }
    )
    frames = next(iter(read_systems(system).values()))
    for quantity, uncertainty in [("energy+forces+stress", False), ("with energy_std", True)]:
        atoms = frames[0].copy()
        calculator = skpot.Calculator(model, uncertainty=uncertainty)

        def evaluate(atoms, calculator=calculator):
            calculator.calculate(atoms, ["energy", "forces", "stress"], ["positions"])

        report(quantity, frames[:1], potential_step(atoms, evaluate), int(rounds))


def compiled(path, system, rounds):
    """Cost per atom of the calculator, with references of both precisions."""
    import joblib

    import skpot

    model = joblib.load(path)
    frames = next(iter(read_systems(system).values()))[:1]
    single = skpot.compile(model, frames, dtype="float32")
    emit({"quantity": "float32 error", **single.errors_._asdict()})
    for quantity, potential in [("skpot", model), ("skpot, float32", single)]:
        calculator = skpot.Calculator(potential)

        def evaluate(atoms, calculator=calculator):
            atoms.calc = calculator
            return atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()

        energy = evaluate(frames[0].copy())[0] / len(frames[0])
        step = potential_step(frames[0].copy(), evaluate)
        report(quantity, frames, step, int(rounds), energy=energy)


def export(path, library):
    """Write a model as a library for LAMMPS."""
    import joblib

    from skpot.md.lammps import export

    export(joblib.load(path), library)


def _full(stress):
    """Nine components of Voigt stresses."""
    return stress[:, [0, 5, 4, 5, 1, 3, 4, 3, 2]]


def soap(folder, rounds):
    """Values, dense Jacobian rows and pull-back of SOAP on all systems."""
    import skpot

    _descriptor(folder, rounds, skpot.SOAP(cutoff=5.0, n_max=8, l_max=6, sigma=0.5, cache=False))


def symmetry_functions(folder, rounds):
    """Values, dense Jacobian rows and pull-back of 8 G2 and 8 G4."""
    import skpot
    from skpot.descriptors import SymmetryFunction

    functions = [SymmetryFunction("G2", eta=eta, shift=shift) for eta, shift in G2]
    functions += [SymmetryFunction("G4", eta=e, zeta=z, lambda_=sign) for e, z, sign in G4]
    descriptor = skpot.SymmetryFunctions(cutoff=5.0, functions=functions, cache=False)
    _descriptor(folder, rounds, descriptor)


def _descriptor(folder, rounds, descriptor):
    import numpy as np
    from sklearn.base import clone

    import skpot

    for name, frames in read_systems(folder).items():
        features = descriptor.fit_transform(frames)
        g = np.random.default_rng(0).normal(size=features.values.shape)
        step = max(1, int(24e6 / (24.0 * features.shape[1] * features.neighborhood_sizes().max())))

        def gradients(frames=frames, descriptor=descriptor, step=step):
            features = descriptor.transform(frames)
            for begin in range(0, len(features.values), step):
                features.jacobian(np.arange(begin, min(begin + step, len(features.values))))

        def pull_back(frames=frames, descriptor=descriptor, g=g):
            descriptor.transform(frames).pull_back(g)

        def values(frames=frames, descriptor=descriptor):
            descriptor.transform(frames)

        # Peers do not divide SOAP vectors by their length.
        plain = clone(descriptor)
        if isinstance(descriptor, skpot.SOAP):
            plain.set_params(normalize=False)
        size = size_of(plain.fit_transform(frames).values)
        for quantity, job in [
            ("values", values), ("values+gradients", gradients), ("values+pull-back", pull_back),
        ]:  # fmt: skip
            report(quantity, frames, job, int(rounds), system=name, **size)


if __name__ == "__main__":
    jobs = {
        "compiled": compiled,
        "export": export,
        "fit": fit,
        "predict": predict,
        "soap": soap,
        "symmetry_functions": symmetry_functions,
    }
    jobs[sys.argv[1]](*sys.argv[2:])
