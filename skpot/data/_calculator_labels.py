"""Labels of structures that have calculators."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..exceptions import InputError, LabelError, LabelWarning, warn_once
from ._ase import calculator_labels, with_stored_results
from ._checks import as_list, some, summarize
from ._label_columns import label_columns
from ._label_values import one_kind_of_energy, without_empty_stress

if TYPE_CHECKING:
    from typing import Any

    from skpot.data._targets import Targets
    from skpot.typing import Atoms, Structures

# The names that calculators have for each kind of label.
_ENERGIES = ("energy", "free_energy")
_PROPERTIES = {"free energy": _ENERGIES, "energy": _ENERGIES, "forces": ("forces",)}
_PROPERTIES |= {"stress": ("stress",), "virial": ("stress",)}


def labels_of_calculators(structures: Structures) -> tuple[list[Any], list[Any], list[Any]]:
    """Ask the calculators of structures for their labels.

    Parameters
    ----------
    structures : list[Atoms]
        Structures, with or without a calculator.

    Returns
    -------
    energies, forces, stresses : list
        An entry for each structure, None where there is none.
    """
    structures = as_list(structures) if len(structures) else []
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
    _tell_of_others(structures, labels)
    energy, free, forces, stress = (
        map(list, zip(*labels, strict=True)) if labels else ([], [], [], [])
    )
    has_forces = any(f is not None for f in forces)
    energy = one_kind_of_energy(energy, free, has_forces)
    return energy, forces, without_empty_stress(structures, stress)


def with_results(labels: Targets, structures: Structures) -> list[Atoms]:
    """Return copies of structures whose calculators hold labels; see `Targets.to_atoms`.

    Parameters
    ----------
    labels : Targets
        Labels of the structures.
    structures : list[Atoms]
        The structures.
    """
    structures = as_list(structures) if len(structures) else []
    if len(structures) != len(labels):
        raise InputError(f"{len(labels)} labels do not fit {len(structures)} structures.")
    forces = labels.forces or [None] * len(labels)
    problems = {
        i: f"has {len(atoms)} atoms, but forces of {len(f)}"
        for i, (atoms, f) in enumerate(zip(structures, forces, strict=True))
        if f is not None and len(f) != len(atoms)
    }
    if problems:
        raise InputError(summarize(problems, len(structures)))
    copies = []
    for i, atoms in enumerate(structures):
        results = {
            "energy": float(labels.energy[i]) if labels.has_energy[i] else None,
            "forces": forces[i],
            "stress": labels.stress[i] if labels.has_stress[i] else None,
        }
        known = {name: value for name, value in results.items() if value is not None}
        copies.append(with_stored_results(atoms, known))
    return copies


def _tell_of_others(structures, labels):
    """Warn of labels in `info` and `arrays` of a kind that the calculators do not have."""
    lost = {}
    for column in label_columns(structures):
        if column.role == "label" and not column.standard:
            for i in column.values:
                if all(getattr(labels[i], name) is None for name in _PROPERTIES[column.kind]):
                    lost.setdefault(i, set()).add(column.name)
    if lost:
        warn_once(
            "labels that calculators do not have",
            f"{len(lost)} structures have {sorted(set().union(*lost.values()))} in info or arrays, "
            f"but not in their calculators: structures {some(sorted(lost))}. These labels are not "
            "used, since only calculators are asked. Pass them to Targets, or read the file with "
            "skpot.read.",
            LabelWarning,
        )
