"""Labels of structures that carry calculators."""

import warnings

from ..exceptions import LabelError, LabelWarning
from ._ase import calculator_labels
from ._checks import some, summarize
from ._label_columns import label_columns
from ._label_values import one_kind_of_energy, without_empty_stress


def labels_of_calculators(structures, stacklevel=2):
    """Ask the calculators of structures.

    Parameters
    ----------
    structures : list[Atoms]
        Structures with a calculator each, or none.
    stacklevel : int
        Of warnings; 2 is the caller.

    Returns
    -------
    energies, forces, stresses : list
        An entry for each structure, None where there is none.
    """
    labels, problems = [], {}
    for i, atoms in enumerate(structures):
        try:
            labels.append(calculator_labels(atoms))
        except LabelError as error:
            problems[i] = str(error)
        except Exception as error:
            raise LabelError(
                f"structure {i}: {type(atoms.calc).__name__} cannot label it: {error!r}"
            ) from error
    if problems:
        raise LabelError(summarize(problems, len(structures)))
    _tell_of_others(structures, stacklevel + 1)
    energy, free, forces, stress = map(list, zip(*labels)) if labels else ([], [], [], [])
    has_forces = any(f is not None for f in forces)
    energy = one_kind_of_energy(energy, free, has_forces, stacklevel=stacklevel + 1)
    return energy, forces, without_empty_stress(structures, stress, stacklevel + 1)


def _tell_of_others(structures, stacklevel):
    """Warn of labels in `info` and `arrays` of structures whose calculator has nothing."""
    silent = [i for i, atoms in enumerate(structures) if atoms.calc is None]
    columns = [c for c in label_columns([structures[i] for i in silent]) if c.role == "label"]
    if columns:
        found = [silent[i] for i in sorted(set().union(*(c.values for c in columns)))]
        warnings.warn(
            f"{len(found)} structures have no calculator, but {sorted({c.name for c in columns})} "
            f"in info or arrays: structures {some(found)}. Only calculators are asked; pass these "
            "to Targets, or read the file with skpot.read.",
            LabelWarning,
            stacklevel=stacklevel,
        )
