"""The energy of a structure by a potential file of SIMPLE-NN, in plain Python.

It reads lines in the order in which the pair style does (MDIL-SNU/SIMPLE-NN_v2, pair_nn.cpp).
"""

import math

from ase.data import atomic_numbers

from tests.naive.symmetry_functions import symmetry_functions

NAMES = {2: ("eta", "shift", "unused"), 4: ("eta", "zeta", "lambda"), 5: ("eta", "zeta", "lambda")}


def swish(x):
    return x / (1.0 + math.exp(-x))


def read(text):
    """Return {element: (functions, shifts, divisors, layers)}."""
    lines = iter([line.split() for line in text.splitlines()[1:] if line.split()])
    elements = {}
    for words in lines:
        assert words[0] == "POT"
        element, functions = words[1], []
        for _ in range(int(next(lines)[1])):
            function = next(lines)
            kind = int(function[0])
            cutoff, *numbers = map(float, function[1:5])
            own = {"kind": f"G{kind}", "cutoff": cutoff, "shift": 0.0}
            own |= dict(zip(NAMES[kind], numbers, strict=True))
            own["neighbors"] = tuple(sorted(atomic_numbers[e] for e in function[5:]))
            functions.append(own)
        shifts, divisors = ([float(word) for word in next(lines)[1:]] for _ in range(2))
        sizes = [int(word) for word in next(lines)[2:]]
        layers = []
        for size in sizes:
            activation, units = next(lines)[2], []
            for _ in range(size):
                weights = [float(word) for word in next(lines)[1:]]
                units.append((weights, float(next(lines)[1])))
            layers.append((activation, units))
        elements[element] = functions, shifts, divisors, layers
    return elements


def energy(text, atoms):
    """Return the energy of a structure in eV."""
    total, elements = 0.0, read(text)
    for element, (functions, shifts, divisors, layers) in elements.items():
        geometry = atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc
        rows = symmetry_functions(*geometry, functions)
        for symbol, row in zip(atoms.get_chemical_symbols(), rows, strict=True):
            if symbol != element:
                continue
            h = [(x - a) / b for x, a, b in zip(row, shifts, divisors, strict=True)]
            for activation, units in layers:
                z = [sum(w * x for w, x in zip(ws, h, strict=True)) + b for ws, b in units]
                h = [swish(x) for x in z] if activation == "swish" else z
            (own,) = h
            total += own
    return total
