"""Structures with what a model predicts for them, as ASE writes and reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..data import Targets
from ..exceptions import InputError, InputTypeError, NumericalError
from ._calculator import Calculator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skpot.typing import AseCalculator, Atoms, Structures

_OF_STRUCTURES = ("energy_std", "stress_std")
_OF_ATOMS = ("forces_std", "energies_std", "extrapolation_grade")


def predicted(
    calculator: Calculator, structures: Structures, deviations: bool = True
) -> Iterator[Atoms]:
    """Yield copies of structures with the results of a calculator.

    Parameters
    ----------
    calculator : skpot.Calculator
        The calculator of the model.
    structures : list[Atoms]
        Structures; they are not changed.
    deviations : bool, default=True
        Whether standard deviations and extrapolation grades are computed, if the model has them.

    Yields
    ------
    atoms : Atoms
        Energy (eV), forces (eV/Å) and stress (eV/Å³) are results of its calculator. The deviations
        `energy_std` and `stress_std` are in `atoms.info`; `forces_std`, `energies_std` and
        `extrapolation_grade` in `atoms.arrays`. They are also in the parameters of its calculator,
        beside what says which model it was (`Calculator.parameters`), since trajectories, JSON
        files and databases of ASE keep those, and extended XYZ the others.

    Raises
    ------
    InputError, NumericalError
        If a structure cannot be predicted; the message says which.
    InputTypeError
        If the calculator is no `Calculator`.

    Examples
    --------
    >>> import skpot
    >>> data = skpot.datasets.load_silicon()
    >>> model = skpot.make_potential("fast").fit(data.X[:10], data.y[:10])
    >>> for atoms in skpot.md.predicted(skpot.Calculator(model), data.X_test[:1]):
    ...     print(atoms.get_forces().shape, atoms.arrays["forces_std"].shape)
    (8, 3) (8, 3)
    """
    if not isinstance(calculator, Calculator):
        raise InputTypeError(
            f"the first argument must be a skpot.Calculator, got {type(calculator).__name__}; the "
            "structures are the second."
        )
    wanted = (*_OF_STRUCTURES, *_OF_ATOMS) if deviations else ()
    for i, atoms in enumerate(structures):
        try:
            calculator.calculate(atoms, ["energy", *wanted])
        except (InputError, NumericalError) as error:
            # What is wrong with one structure is said as of the first of a list.
            text = str(error).partition("structure 0: ")[2] or str(error)
            raise type(error)(f"structure {i}: {text}") from error
        found = calculator.results
        stress = [found.get("stress")]
        (result,) = Targets([found["energy"]], [found["forces"]], stress).to_atoms([atoms])
        leave_traces(result, calculator)
        yield result


def leave_traces(atoms: Atoms, calculator: AseCalculator) -> None:
    """Note on atoms with results of a calculator, in place, which model and deviations it has.

    Info and arrays that are named as results are those of others, and are removed.

    Parameters
    ----------
    atoms : ase.Atoms
        A structure whose own calculator holds results of `calculator`.
    calculator : Calculator
        The calculator; of one that is not skpot's only the name is noted.
    """
    drop_older(atoms)
    atoms.calc.name = calculator.name
    if not isinstance(calculator, Calculator):
        return
    deviations = {}
    for name in calculator.deviations:
        if name in calculator.results:
            value = calculator.results[name]
            deviations[name] = np.array(value) if np.ndim(value) else value
            place = atoms.info if name in _OF_STRUCTURES else atoms.arrays
            place[name] = deviations[name]
    atoms.info["skpot_model"] = calculator.parameters["model_hash"]
    atoms.calc.parameters.update(calculator.parameters, **deviations)


def drop_older(atoms: Atoms) -> None:
    """Remove info and arrays, in place, that have the names of results but come from others.

    Readers could not tell energies and forces there from those of the calculator of the atoms, and
    deviations do not belong to these.
    """
    for name in (*atoms.calc.results, *_OF_STRUCTURES, *_OF_ATOMS):
        atoms.info.pop(name, None)
        atoms.arrays.pop(name, None)
