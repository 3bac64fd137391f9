"""Greedy choice of structures by dense matrices, with nothing updated and nothing lazy."""

import numpy as np

from tests.naive.kernel import energy_row, force_rows, stress_rows


def rows(features, structure, kernel, references, noise):
    """Covariance of all labels with references, over the noise; energy, forces, then stress."""
    sigma_energy, sigma_forces, sigma_stress = noise
    arguments = features, structure, kernel, references
    energy = energy_row(*arguments) / (sigma_energy * np.sqrt(len(structure.numbers)))
    out = [energy[None], force_rows(*arguments) / sigma_forces]
    if np.linalg.det(structure.cell):
        out.append(stress_rows(*arguments) / sigma_stress)
    return np.concatenate(out)


def prior(kernel, references):
    """Covariance of the references."""
    pairs = [[kernel(q, p) * (z == w) for p, w in references] for q, z in references]
    return np.array(pairs)


def precision(k_mm, known):
    """K_MM + K_MN Sigma^-1 K_NM of all known rows."""
    return k_mm + sum(a.T @ a for a in known) if len(known) else k_mm


def left_open(k_mm, known, rows):
    """Covariance of labels, in units of their noise, that known labels leave open."""
    return rows @ np.linalg.solve(precision(k_mm, known), rows.T)


def information(k_mm, known, rows, forces, others):
    """Mean information of all labels, and that of the energy, which is the first."""

    def nats(rows):
        return 0.5 * np.linalg.slogdet(np.eye(len(rows)) + left_open(k_mm, known, rows))[1]

    return nats(rows) / len(rows) + nats(rows[:1])


def largest_force(k_mm, known, rows, forces, others):
    """Largest norm of the deviations of the three components of a force, over the noise."""
    variance = np.diag(left_open(k_mm, known, rows[forces])).reshape(-1, 3)
    return float(np.sqrt(variance.sum(axis=1)).max())


def fall_of_variance(k_mm, known, rows, forces, others):
    """Sum of the mean variances of each kind of label before these rows are known, less after."""

    def mean(known):
        variances = [(np.diag(left_open(k_mm, known, a)), f) for a, f in others]
        energy = [3 * v[: f.start] / (f.stop - f.start) for v, f in variances]  # per atom
        stress = [v[f.stop :] for v, f in variances]
        kinds = energy, [v[f] for v, f in variances], stress
        return sum(np.mean(np.concatenate(kind)) for kind in kinds)

    return mean(known) - mean([*known, rows])


def greedy(criterion, k_mm, known, candidates, forces, n):
    """Return the n best candidates, one after the other, and all gains before each choice."""
    others = list(zip(candidates, forces, strict=True))
    known, chosen, table = list(known), [], []
    for _ in range(n):
        gains = [
            criterion(k_mm, known, a, f, others) for a, f in zip(candidates, forces, strict=True)
        ]
        table.append(gains)
        best = max((g, -i) for i, g in enumerate(gains) if i not in chosen)
        chosen.append(-best[1])
        known.append(candidates[chosen[-1]])
    return chosen, np.array(table)
