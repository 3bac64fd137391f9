"""Summaries of data and tables of errors, narrow enough for 80 columns."""

import numpy as np

from skpot.data import read
from skpot.data._elements import SYMBOLS
from skpot.metrics import summary

from ._console import reading, say, title

GPA = 160.21766208  # GPa in one eV/Å³

_BLOCKS = ("energy", "forces", "stress")
_HEADS = ("energy meV/atom", "forces eV/Å", "stress GPa")


def read_file(paths, keys):
    """Read labelled structures from files."""
    names = " ".join(map(str, paths))
    with reading(names):
        X, y = read(paths, **keys)
    if not X:
        raise ValueError(f"{names} holds no structures.")
    return X, y


def describe(name, X, y):
    """Print what a data set holds."""
    n_atoms = np.array([len(atoms) for atoms in X])
    species = np.unique(np.concatenate([atoms.numbers for atoms in X]))
    sizes = f"{n_atoms.min()}" if n_atoms.min() == n_atoms.max() else _range(n_atoms, "d", " to ")
    title(name)
    say(f"  {len(X)} frames of {sizes} atoms, {n_atoms.sum()} atoms in all")
    say(f"  species  {', '.join(SYMBOLS[z] for z in species)}")
    if y.has_energy.any():
        per_atom = (y.energy / n_atoms)[y.has_energy]
        say(f"  energy   {y.has_energy.sum():5d} frames   {_range(per_atom, '.3f')} eV/atom")
    if y.has_forces.any():
        largest = np.abs(y.forces_flat).max()
        say(f"  forces   {y.has_forces.sum():5d} frames   components up to {largest:.2f} eV/Å")
    if y.has_stress.any():
        stress = GPA * y.stress[y.has_stress]
        say(f"  stress   {y.has_stress.sum():5d} frames   {_range(stress, '.1f')} GPa")
    kinds = kinds_of(X)
    if kinds is not None:
        names, counts = np.unique(kinds, return_counts=True)
        text = ", ".join(f"{k}\xa0{n}" for k, n in zip(names, counts))  # not torn apart
        say(_wrapped(text, "  kinds    "))


def kinds_of(X):
    """Return `info["config_type"]` of each structure, or None if there are not at least two."""
    kinds = np.array([str(atoms.info.get("config_type", "none")) for atoms in X])
    return kinds if len(np.unique(kinds)) > 1 else None


def error_table(parts):
    """Print RMSE and MAE of energies, forces and stress.

    `parts` maps names to (X, y_true, y_pred); further rows tell the kinds of the last one apart.
    """
    say(f"{'':16}{'frames':>7} " + "".join(f"{head:>17}" for head in _HEADS))
    say(f"{'':24}" + f"{'RMSE':>9}{'MAE':>8}" * 3)
    for name, (X, y_true, y_pred) in parts.items():
        _error_row(name, X, y_true, y_pred)
    kinds = kinds_of(X)
    if kinds is not None:
        for kind in np.unique(kinds):
            chosen = np.flatnonzero(kinds == kind)
            rows = [X[i] for i in chosen]
            _error_row(f"  {kind}", rows, y_true[chosen], y_pred[chosen])


def _error_row(name, X, y_true, y_pred):
    errors = summary(y_true, y_pred, n_atoms=[len(atoms) for atoms in X])
    cells = []
    for block, digits in zip(_BLOCKS, (2, 4, 3)):
        if entry := errors.get(block):
            cells.append(f"{entry['rmse']:9.{digits}f}{entry['mae']:8.{digits}f}")
        else:
            cells.append(f"{'-':>9}{'-':>8}")
    say(f"{name[:16]:16}{len(X):7d} " + "".join(cells))


def label_std(model, X, std):
    """Return the standard deviation of energy labels: of the model, and of the labels' noise."""
    n_atoms = np.array([len(atoms) for atoms in X])
    regressor = model[-1] if hasattr(model, "steps") else model
    noise = getattr(regressor, "best_params_", vars(regressor)).get("sigma_energy", 0.0)
    if isinstance(noise, dict):  # by group, which these structures do not say
        noise = noise.get("default", max(noise.values()))
    return np.sqrt(std**2 + n_atoms * noise**2)


def uncertainty_line(X, y_true, y_pred, std):
    """Print how often the predicted standard deviation of energy labels holds."""
    both = y_true.has_energy & y_pred.has_energy
    if not both.any():
        return
    n_atoms = np.array([len(atoms) for atoms in X])[both]
    error = np.abs(y_true.energy - y_pred.energy)[both]
    typical = 1000.0 * np.median(std[both] / n_atoms)
    shares = [100.0 * np.mean(error <= k * std[both]) for k in (1, 2)]
    say(
        f"predicted std of energies, noise included: {typical:.2f} meV/atom (median); of the "
        f"errors,\n  {shares[0]:.0f} % are within 1 std and {shares[1]:.0f} % within 2 "
        "(68 % and 95 % if they were normal)"
    )


def search_table(search, limit=6):
    """Print the best candidates of a finished search scored by errors."""
    results = search.cv_results_
    order = np.argsort(results["rank_test_score"], kind="stable")
    say(f"{'forces eV/Å':>12}{'± folds':>9}   parameters")
    for i in order[:limit]:
        error, spread = -results["mean_test_score"][i], results["std_test_score"][i]
        chosen = "  ".join(f"{k.split('__')[-1]}={v}" for k, v in results["params"][i].items())
        say(f"{error:12.4f}{spread:9.4f}   {chosen}")
    if len(order) > limit:
        say(f"{'':24}(and {len(order) - limit} more)")


def _range(values, form, joint=" ... "):
    return f"{np.min(values):{form}}{joint}{np.max(values):{form}}"


def _wrapped(text, head, width=79):
    import textwrap

    lines = textwrap.fill(text, width, initial_indent=head, subsequent_indent=" " * len(head))
    return lines.replace("\xa0", " ")
