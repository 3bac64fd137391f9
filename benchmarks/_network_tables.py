"""Tables of networks: errors on published sets, and costs."""

from _accuracy_tables import COMPOSITIONS, LONG_TITLES, MOLECULES
from _records import digits, gigabytes, span, table

_LARGE = "InP", "Fe", "LiPS20"  # sets with a table of their own


def _of_members(records, name):
    """Return the newest record of each seed, by the number of members."""
    try:
        found = records.find("accuracy sets", set=name, preset="network")
    except LookupError:
        return {}
    newest = {(r["chosen"]["members"], r["seed"]): r for r in found}
    by_members = {}
    for (members, _), record in sorted(newest.items()):
        by_members.setdefault(members, []).append(record)
    return by_members


def _mean(group, part, name):
    return sum(record[part][name] for record in group) / len(group)


def _row(title, name, members, group):
    parts = [p for p in ("test", "test_MD", "test_300K", "test_600K", "held") if p in group[0]]
    kind = MOLECULES.get(name, ("", "mae"))[1]
    energy = f"{kind}_total_energy_meV" if name in MOLECULES else f"{kind}_energy_meV_atom"
    energies = [_mean(group, part, energy) for part in parts]
    forces = [1e3 * _mean(group, part, f"{kind}_forces_eV_A") for part in parts]
    cells = [f"{digits(v[0])}{f' ({digits(v[1])})' if len(v) > 1 else ''}"
             for v in (energies, forces)]  # fmt: skip
    calibration = [record.get(f"{parts[0]}_calibration") for record in group]
    known = [c for c in calibration if c]
    deviations = f"{known[0]['energy']:.2f}, {known[0]['forces']:.2f}" if known else ""
    cpu = span([record["fit_cpu_s"] for record in group])
    seeds = f", mean of {len(group)} seeds" if len(group) > 1 else ""
    peak = gigabytes(max(record["peak_mb"] for record in group))
    return [title, f"{members}{seeds}", *cells, deviations, f"{cpu} s", peak]


def networks(records):
    """Return errors, calibration errors and costs of the preset "network"."""
    rows = [
        _row(title, name, members, group)
        for name, title in LONG_TITLES.items()
        if name not in _LARGE
        for members, group in _of_members(records, name).items()
    ]
    if not rows:
        raise LookupError('results/ has no record of the preset "network"')
    head = ["set", "networks", "energies", "forces", "calibration error", "fit, CPU", "peak"]
    return table(head, rows)


def large_sets(records):
    """Return errors and costs of one network on large sets, beside those of kernel models."""
    rows = []
    for name in _LARGE:
        for preset in ("default", "accurate", "network"):
            found = records.find("accuracy sets", set=name, preset=preset)
            if preset == "network":
                found = [r for r in found if r["chosen"]["members"] == 1]
                found = {r["chosen"]["epochs"]: r for r in found}.values()
            for record in found if preset == "network" else found[-1:]:
                cost = f"{digits(record['fit_cpu_s'])} s", gigabytes(record["peak_mb"])
                rows.append([_title(name), _model(preset, record), *_mean_errors(record), *cost])
    return table(["set", "model", "energies", "forces", "fit, CPU", "peak"], rows)


def _title(name):
    return LONG_TITLES.get(name, "LiPS20, 1600 frames, 111 600 atoms").replace("likewise, ", "")


def _model(preset, record):
    if preset == "network":
        return f"one network, {record['chosen']['epochs']} epochs"
    return f'"{preset}", {record["chosen"]["references"]} references'


def _mean_errors(record):
    """Return errors of energies (meV/atom) and forces (meV/Å), mean over the test parts."""
    parts = [record[p] for p in ("held", *COMPOSITIONS) if p in record]
    for name, factor in (("mae_energy_meV_atom", 1.0), ("mae_forces_eV_A", 1e3)):
        yield digits(factor * sum(part[name] for part in parts) / len(parts))


def network_costs(records):
    """Return the costs of training steps and of compiled forms."""
    stored = records.newest("network", quantity="stored")
    jax = records.newest("network", quantity="jax")
    in_file = records.newest("network", quantity="in a file")
    computed = records.newest("network", quantity="recomputed")
    models = {
        name: records.newest("network", quantity="compiled", model=name)
        for name in ("kernel", "one network", "four networks")
    }
    held = f"training step, Jacobians held ({digits(stored['kb_per_atom'], 2)} kB/atom)"
    rows = [
        [held, digits(stored["us_per_atom"], 2), digits(stored["floor_us_per_atom"], 2)],
        ["the same by jax, jitted", digits(jax["us_per_atom"], 2), ""],
        ["training step, Jacobians in a file", digits(in_file["us_per_atom"], 2), ""],
        ["training step, computed again", digits(computed["us_per_atom"], 2), ""],
        ["compiled, 1000 references", digits(models["kernel"]["us_per_atom"]), ""],
        ["compiled, one network", digits(models["one network"]["us_per_atom"]), ""],
        ["compiled, four networks", digits(models["four networks"]["us_per_atom"]), ""],
    ]
    return table(["", "µs/atom", "floor"], rows)


TABLES = {"networks": networks, "large_sets": large_sets, "network_costs": network_costs}
