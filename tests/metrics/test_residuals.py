"""The report of residuals against sums by hand."""

import numpy as np
import pytest
from ase import Atoms

from skpot import Targets
from skpot.metrics import energy_rmse, forces_mae, forces_rmse, residual_report, stress_rmse

X = [Atoms(symbols, np.arange(3 * n).reshape(n, 3) * 1.0) for symbols, n in (
    ("OH2", 3), ("OH", 2), ("H", 1), ("O2", 2)
)]  # fmt: skip
GROUPS = ["wet", "dry", "dry", "wet"]


def targets(seed):
    rng = np.random.default_rng(seed)
    energy = list(rng.normal(size=4))
    forces = [rng.normal(size=(len(atoms), 3)) for atoms in X]
    return Targets(energy, forces, list(rng.normal(size=(4, 6))))


def find(records, **wanted):
    (found,) = (r for r in records if all(r[k] == v for k, v in wanted.items()))
    return found


def test_by_hand():
    a, b = targets(0), targets(1)
    a = Targets([None, *a.energy[1:]], [*a.forces[:3], None], [None, None, *a.stress[2:]])
    sigma = dict(sigma_energy=0.1, sigma_forces=0.5, sigma_stress=2.0)
    records = residual_report(a, b, X, groups=GROUPS, **sigma)
    squares = {"energy": {}, "forces": {}, "stress": {}}
    for s, atoms in enumerate(X):
        if s > 0:
            per_atom = (a.energy[s] - b.energy[s]) / np.sqrt(len(atoms))
            squares["energy"][s] = (per_atom / 0.1) ** 2
        if s < 3:
            squares["forces"][s] = np.sum(((a.forces[s] - b.forces[s]) / 0.5) ** 2)
        if s > 1:
            squares["stress"][s] = np.sum(((a.stress[s] - b.stress[s]) / 2.0) ** 2)
    total = sum(sum(part.values()) for part in squares.values())
    for label, part in squares.items():
        record = find(records, by="label", label=label)
        assert record["share"] == pytest.approx(sum(part.values()) / total)
        assert record["worst"] == max(part, key=part.get)
        for group in ("wet", "dry"):
            record = find(records, by="group", label=label, part=group)
            mine = sum(v for s, v in part.items() if GROUPS[s] == group)
            assert record["share"] == pytest.approx(mine / total)
    energy, forces, stress = (
        find(records, by="label", label=x) for x in ("energy", "forces", "stress")
    )
    assert energy["rmse"] == pytest.approx(energy_rmse(a, b, n_atoms=[3, 2, 1, 2]))
    assert forces["rmse"] == pytest.approx(forces_rmse(a, b))
    assert forces["mae"] == pytest.approx(forces_mae(a, b))
    assert stress["rmse"] == pytest.approx(stress_rmse(a, b))
    assert forces["whitened_rmse"] == pytest.approx(forces["rmse"] / 0.5)
    assert (energy["count"], forces["count"], stress["count"]) == (3, 6, 2)
    hydrogen = np.concatenate([f[atoms.numbers == 1] for f, atoms in zip(
        [x - y for x, y in zip(a.forces[:3], b.forces[:3], strict=True)], X[:3], strict=True
    )])  # fmt: skip
    record = find(records, by="species", part="H")
    assert record["rmse"] == pytest.approx(np.sqrt(np.mean(hydrogen**2)))
    assert record["count"] == 4


def test_shares_add_up_and_are_sorted():
    records = residual_report(targets(0), targets(1), X, groups=GROUPS)
    shares = {by: [r["share"] for r in records if r["by"] == by] for by in ("label", "group")}
    for share in shares.values():
        assert sum(share) == pytest.approx(1.0)
        assert share == sorted(share, reverse=True)
    species = sum(r["share"] for r in records if r["by"] == "species")
    assert species == pytest.approx(find(records, by="label", label="forces")["share"])
    assert all(set(r) == set(records[0]) for r in records)


def test_energies_alone_and_no_error_at_all():
    (record,) = residual_report(np.ones(4), np.ones(4), X)
    assert record["share"] == record["rmse"] == 0.0 and record["unit"] == "eV/atom"


def test_what_is_refused():
    a = targets(0)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        residual_report(a, a, X[:2])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        residual_report(a, a, X, groups=[1])
    with pytest.raises(ValueError, match="structure 2 has 1 atoms in one"):
        residual_report(a, a, X[::-1])
    with pytest.raises(ValueError, match="no label in common"):
        residual_report(Targets(a.energy), Targets([None] * 4, a.forces), X)
    with pytest.raises(ValueError, match="sigma_forces must be positive"):
        residual_report(a, a, X, sigma_forces=0.0)
    with pytest.raises(ValueError, match="NaN"):
        residual_report(a, np.full(4, np.nan), X)
