"""Errors of the presets of `hypers` on held-out training frames, beside plain parameters.

Sets are the bundled silicon and ethanol, of which whole trajectories are held out, and the files
named with `--data`, in any format of ASE, of which frames are drawn at random (`--skip` leaves out
those with a force beyond so many eV/Å). Test parts are not touched. Noise levels are fixed, the
same for all presets, that of energies being 0.04 of that of forces; errors are means over several
draws.
"""

import time
from pathlib import Path

from _common import arguments, emit, machine, usual, versions

OPTIONS = arguments(
    __doc__,
    **usual(references=400, sigma_forces=0.05),
    data=("", "files of labeled structures, with commas between them"),
    index=(":", "of frames"), descriptor=("soap", "soap, symmetry, pair or triplet"),
    hypers=("None,fast,default,accurate", "presets to compare; None is plain parameters"),
    train=(60, "frames to fit to"), held=(40, "frames held out"), draws=(3, "random splits"),
    skip=(20.0, "largest force component, eV/Å"),
)  # fmt: skip

SETTINGS = ("index", "train", "held", "references", "sigma_forces", "skip", "draws")


def make_model(preset):
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    import skpot
    from skpot import kernels

    kind = {
        "soap": skpot.SOAP,
        "symmetry": skpot.SymmetryFunctions,
        "pair": skpot.PairBasis,
        "triplet": skpot.TripletBasis,
    }[OPTIONS.descriptor]
    steps = [kind(hypers=None if preset == "None" else preset)]
    kernel = kernels.DotProduct(zeta=4 if kind is skpot.SOAP else 1)
    if kind is skpot.SymmetryFunctions:
        steps.append(skpot.PerAtom(StandardScaler()))
        kernel = kernels.RBF(length_scale=20.0)
    regressor = skpot.SparseGPR(
        kernel,
        OPTIONS.references,
        selection="cur" if kind is skpot.SOAP else "random",
        sigma_energy=0.04 * OPTIONS.sigma_forces,
        sigma_forces=OPTIONS.sigma_forces,
        sigma_stress=0.01 * OPTIONS.sigma_forces,
        random_state=0,
    )
    return make_pipeline(*steps, regressor)


def sets():
    """Yield the name, structures, labels and groups of each set; a file has that of its folder."""
    import numpy as np

    import skpot

    if not OPTIONS.data:
        for name in ("silicon", "ethanol"):
            data = getattr(skpot.datasets, f"load_{name}")()
            yield name, data.X, data.y, np.array(data.groups)
        return
    for path in OPTIONS.data.split(","):
        X, y = skpot.read(path, OPTIONS.index)
        yield Path(path).resolve().parent.name, X, y, np.arange(len(X))


def split(X, y, groups, seed):
    """Return training and held-out rows; isolated atoms are always trained on."""
    import numpy as np

    rng = np.random.default_rng(seed)
    lone = np.array([len(atoms) == 1 and not atoms.pbc.any() for atoms in X])
    largest = [np.abs(f).max() if f is not None and f.size else 0.0 for f in y.forces]
    usable = ~lone & (np.array(largest) <= OPTIONS.skip)
    order = rng.permutation(np.unique(groups[usable]))
    n_held = min(OPTIONS.held, len(order) // 3) if len(order) > 60 else -(-len(order) // 4)
    held = usable & np.isin(groups, order[:n_held])
    train = rng.permutation(np.flatnonzero(usable & ~held))[: OPTIONS.train]
    held = rng.permutation(np.flatnonzero(held))[: OPTIONS.held]
    return np.concatenate([np.flatnonzero(lone), train]), held


def errors(preset, X, y, train, held):
    import skpot
    from skpot import metrics

    model = make_model(preset)
    begin = time.process_time()
    model.fit([X[i] for i in train], y[train])
    fit = time.process_time() - begin
    skpot.descriptors.descriptor_cache.clear()
    frames = [X[i] for i in held]
    begin = time.process_time()
    predicted = model.predict(frames)
    per_atom = (time.process_time() - begin) / sum(map(len, frames))
    return model[0], [
        1e3 * metrics.energy_rmse(y[held], predicted),
        metrics.forces_rmse(y[held], predicted),
        model[0].n_features_out_,
        fit,
        1e3 * per_atom,
    ]


def main():
    import numpy as np

    if OPTIONS.quick:
        OPTIONS.train, OPTIONS.held, OPTIONS.references, OPTIONS.draws = 8, 4, 20, 1
    names = ("rmse_energy_meV_atom", "rmse_forces_eV_A", "features", "fit_cpu_s", "predict_ms_atom")
    for name, X, y, groups in sets():
        for preset in OPTIONS.hypers.split(","):
            figures = []
            for seed in range(OPTIONS.draws):
                descriptor, found = errors(preset, X, y, *split(X, y, groups, seed))
                figures.append(found)
            emit(
                {
                    "bench": "hypers",
                    "set": name,
                    "descriptor": OPTIONS.descriptor,
                    "hypers": preset,
                    **dict(zip(names, np.mean(figures, axis=0).tolist(), strict=True)),
                    "chosen": descriptor.hypers_,
                    "settings": {name: getattr(OPTIONS, name) for name in SETTINGS},
                    **machine(),
                    **versions("skpot", "numpy", "numba"),
                },
                OPTIONS.out,
            )


if __name__ == "__main__":
    main()
