"""Tables and figures of what takes how long: kernels, drivers, peers."""

import math

from _records import digits, span, table

SYSTEMS = {
    "Si 216": ("S1_Si216", "silicon216"),
    "water 192": ("S2_water192", "water192"),
    "Cu 256": ("S3_Cu256", "copper256"),
    "molecules": ("S4_aspirin100", "molecules100"),
}
KERNELS = ("values", "pull-back", "jacobian")
POTENTIALS = {
    "skpot": "skpot, ASE calculator",
    "skpot, float32": "skpot, references in single precision",
    "skpot in LAMMPS": "skpot in LAMMPS",
    "NEP, 6 and 5 Å": "NEP on the CPU (calorine 4.1)",
    "SNAP linear": "SNAP in LAMMPS, 2J = 8",
    "GAP": "GAP (quippy 0.10.3)",
}
PEERS = {"featomic": "featomic 0.6.7", "dscribe": "dscribe 2.1.2", "quippy": "quippy 0.10.3"}


def gap(records):
    """Return skpot beside gap_fit and quippy: costs of the fit and errors of the test frames."""
    record = records.newest("gap")
    ours, theirs = record["skpot"], record["gap_fit"]

    def fit(label, key, write):
        pair = ours["fit"][key], theirs["fit"][key]
        return [label, *map(write, pair), digits(pair[1] / pair[0], 3 if pair[0] < 50 else 2)]

    def error(label, key):
        return [label, digits(ours["errors"][key]), digits(theirs["errors"][key]), ""]

    return table(
        ["", "skpot", "gap_fit / quippy", "ratio"],
        [
            fit("fit, CPU time", "cpu_s", lambda s: f"{digits(s)} s"),
            fit("fit, peak memory", "peak_mb", lambda mb: f"{mb / 1000.0:.2f} GB"),
            error("test RMSE, energy (meV/atom)", "energy_meV_atom"),
            error("test RMSE, forces (eV/Å)", "forces_eV_A"),
            error("test RMSE, stress (GPa)", "stress_GPa"),
        ],
    )


def potentials(records):
    """Return the cost of whole potentials beside that of skpot."""
    record = records.newest("potentials")
    rows = []
    for name, label in POTENTIALS.items():
        cost, ratio = record["us_per_atom"][name], record["over_skpot"][name]
        rows.append([label, f"{cost:.0f}", digits(ratio, 2)])
    return table(["", "µs", "over skpot"], rows)


def soap_peers(records):
    """Return how much longer the peers take for SOAP."""
    quantities = {"values": "values", "values+pull-back": "one force evaluation"}
    return _peers(records, {("soap peers", key): label for key, label in quantities.items()})


def descriptor_peers(records):
    """Return how much longer the peers take for SOAP and for symmetry functions."""
    return _peers(
        records,
        {
            ("soap peers", "values"): "SOAP: values",
            ("soap peers", "values+gradients"): "SOAP: values and all gradients",
            ("soap peers", "values+pull-back"): "SOAP: one force evaluation",
            ("symmetry_functions peers", "values"): "8 G2 + 8 G4: values",
        },
    )


def _peers(records, rows):
    def cell(bench, quantity, peer):
        found = {}
        for system, names in SYSTEMS.items():
            fields = {"quantity": quantity, "peer": peer, "system": names[0]}
            record = records.newest_or_none(bench, **fields)
            if record:
                found[system] = record["peer_over_skpot"]
        text = span(found.values()) if found else ""
        return f"{text} ({next(iter(found))})" if len(found) == 1 else text

    body = [[label, *(cell(*row, peer) for peer in PEERS)] for row, label in rows.items()]
    return table(["", *PEERS.values()], body)


def kernels(records):
    """Return µs per atom of every kernel, and the share of the floor's rate that it reaches."""
    groups = {
        f"SOAP {option}": ("soap", {"option": option})
        for option in ("power spectrum", "body order 2", "totals", "tensor", "body order 4")
    }
    groups["8 G2 + 8 G4"] = ("symmetry functions", {})
    groups |= {basis: ("splines", {"basis": basis}) for basis in ("pairs", "triplets")}
    rows = [
        [f"{label}: {kernel}", *_kernel_cells(records, bench, kernel=kernel, **fields)]
        for label, (bench, fields) in groups.items()
        for kernel in KERNELS
    ]
    rows.append(["neighbor search", *_kernel_cells(records, "neighbors", kernel="search")])
    return table(["", *SYSTEMS], rows)


def _kernel_cells(records, bench, **fields):
    for names in SYSTEMS.values():
        found = [records.newest_or_none(bench, system=name, **fields) for name in names]
        record = next(filter(None, found), None)
        if record is None:
            yield ""
        else:
            yield f"{digits(record['us_per_atom'])} ({100.0 / record['times_floor']:.0f} %)"


def calculator(records):
    """Return what one step of molecular dynamics costs on one thread."""
    rows = []
    for atoms in (8, 64, 216, 1000, 8000):
        record = _step(records, atoms)
        share = f"{100.0 / record['times_floor']:.0f} %"
        rows.append([str(atoms), f"{record['us_per_atom']:.0f}", share])
    return table(["atoms", "µs per atom", "share of the floor's rate"], rows)


def calculator_threads(records):
    """Return what one step of molecular dynamics costs on two threads."""
    steps = {atoms: _step(records, atoms, threads=2) for atoms in (216, 1000, 8000)}
    rows = [[str(atoms), f"{step['us_per_atom']:.0f}"] for atoms, step in steps.items()]
    return table(["atoms", "µs per atom"], rows)


def _step(records, atoms, threads=1):
    return records.newest("calculator", file="calculator.jsonl", atoms=atoms, threads=threads)


def lammps_ranks(records):
    """Return what a step in LAMMPS costs on one MPI rank, on two and on two threads."""
    rows = []
    for atoms in (1000, 8000, 100_000):
        record = records.newest("lammps ranks", atoms=atoms)
        cost = digits(record["us_per_atom"]["1 rank"])
        gains = record["speed_up"], record["speed_up_threads"]
        rows.append([str(atoms), cost, *map(digits, gains)])
    return table(
        ["atoms", "µs per atom on one rank", "times as fast on two", "on two threads"], rows
    )


def conductivity(records):
    """Return the thermal conductivity of argon by a potential and by those that learned it."""
    rows = []
    for descriptor, label in (("pairs", "a pair potential"), ("soap", 'the preset "fast"')):
        record = records.newest_or_none("conductivity", descriptor=descriptor)
        if record is None:
            continue
        runs = f"{record['seeds']} × {record['picoseconds']:.0f} ps"
        found = [record[name] for name in ("lj/cut", "skpot")]
        values = [f"{own['W_m_K']:.3f} ± {own['standard_error']:.3f}" for own in found]
        rows.append([label, f"{100.0 * record['force_error']:.1f} %", runs, *values])
    if not rows:
        raise LookupError("results/ has no conductivity")
    head = ["learned by", "error of forces", "runs", "`lj/cut`, W/(m K)", "skpot, W/(m K)"]
    return table(head, rows)


def engines(records):
    """Return what a step costs in each engine at an earlier commit and now."""
    newest = {record["row"]: record for record in records.find("engines")}
    rows = []
    for row in newest:
        record = records.newest("engines", row=row)
        before, after = (digits(record["cpu_ms"][which]) for which in ("before", "after"))
        rows.append([row, before, after, digits(record["after_over_before"], 2)])
    commit = next(iter(newest.values()))["before_commit"]
    return table(["", f"ms at {commit}", "ms now", "now / before"], rows)


def lammps_processors(records):
    """Return what an exported model costs with the code for each generation of processors."""
    found = {
        level: records.newest("lammps processors", variant=level)["us_per_atom"]
        for level in ("x86-64-v2", "x86-64-v3", "x86-64-v4")
    }
    newest = found["x86-64-v4"]
    rows = [[level, digits(cost, 2), digits(cost / newest, 2)] for level, cost in found.items()]
    return table(["code for", "µs per atom", "times that for x86-64-v4"], rows)


def scaling(records):
    """Return what descriptors and forces cost on growing systems."""
    rows = []
    for atoms in (108, 864, 10976, 100920):
        record = records.newest("scaling size", atoms=atoms)
        costs = record["values_us_per_atom"], record["force_evaluation_us_per_atom"]
        rows.append([str(atoms), *map(digits, costs)])
    return table(["atoms", "values, µs per atom", "one force evaluation, µs per atom"], rows)


def small_frames(records):
    """Return what a frame costs where frames are small and many."""
    rows = []
    for frames in (8000, 16_000, 32_000, 64_000):
        runs = [records.newest("small_frames", task=t, frames=frames) for t in ("evaluate", "fit")]
        rows.append([str(frames), *(digits(run["ms_per_frame"]) for run in runs)])
    return table(["frames", "evaluation, ms a frame", "fit, ms a frame"], rows)


def streamed(records):
    """Return what fits to structures in files take, and to the same in memory."""
    rows = []
    for record in records.find("streamed"):
        numbers = record["atoms"], record["cpu_s"], record["us_per_atom"], record["peak_mb"]
        rows.append([record["how"], *map(str, numbers)])
    return table(["structures", "atoms", "CPU s", "µs per atom", "largest memory, MB"], rows)


def memory_limits(records):
    """Return how far fits with a limit to their memory use it."""
    rows = [
        [r["model"], str(r["atoms"]), str(r["above_mb"]), f"{r['over_limit']:.2f}"]
        for r in records.find("memory")
    ]
    return table(["pipeline", "atoms", "largest above imports, MB", "over the limit"], rows)


def scale_costs(records):
    """Return what fits to many atoms cost, by the cost of two small ones of each preset.

    Tasks are divided among workers; the rest of the time is that of the process that called `fit`,
    which also merges a factor for each task of rows and kind of label. Its memory grows by what the
    largest fits in files needed more than smaller ones.
    """
    known = records.find("streamed", how="in files")
    small, large = sorted(known, key=lambda r: r["atoms"])[-2:]
    bytes_per_atom = 1e6 * _slope(small, large, "peak_mb")
    rows = []
    for preset in ("fast", "default", "accurate"):
        runs = [r | {"tasks_us": r["divided_us_per_atom"] * r["atoms"], "us": 1e6 * r["cpu_s"]}
                for r in records.find("costs", preset=preset)]  # fmt: skip
        small, large = sorted(runs, key=lambda r: r["atoms"])[-2:]
        of_tasks = _slope(small, large, "tasks_us")
        merging = 3e6 * large["merge_s"] / large["task_atoms"]
        rest = _slope(small, large, "us") - of_tasks + merging
        for power in (6, 7, 8):
            n = 10**power
            n_tasks = n // large["task_atoms"]
            hours = [n * (rest + of_tasks / min(w, n_tasks)) / 3.6e9 for w in (1, 16, 128)]
            memory = large["peak_mb"] / 1e3 + bytes_per_atom * n / 1e9, large["peak_mb"] / 1e3
            cells = [digits(h, 1 + (h > 0.095)) for h in hours]
            cells += [f"{m:.1f}" for m in memory]
            rows.append([preset, str(large["references"]), "10" + "⁶⁷⁸"[power - 6], *cells])
    heads = ["preset", "references", "atoms", "hours, 1 worker", "16", "128"]
    return table([*heads, "GB where `fit` is called", "GB of a worker"], rows)


def _slope(small, large, key):
    return (large[key] - small[key]) / (large["atoms"] - small["atoms"])


TABLES = {
    "streamed": streamed,
    "memory_limits": memory_limits,
    "scale_costs": scale_costs,
    "gap": gap,
    "potentials": potentials,
    "soap_peers": soap_peers,
    "descriptor_peers": descriptor_peers,
    "kernels": kernels,
    "calculator": calculator,
    "calculator_threads": calculator_threads,
    "lammps_ranks": lammps_ranks,
    "lammps_processors": lammps_processors,
    "conductivity": conductivity,
    "engines": engines,
    "scaling": scaling,
    "small_frames": small_frames,
}


def _rates(records, key):
    return span([r[key] for r in records.find("machine", file="kernels.jsonl")])


def _small_frames(task, key):
    """Return a figure of the last line that a task of `bench_small_frames.py` prints."""

    def figure(records):
        runs = records.find("small_frames", task=task)
        last = [run for run in runs if key in run][-1]
        return digits(last[key], 3 if key == "exponent" else 2)

    return figure


def _calculator_gflops(records):
    record = records.newest("machine", file="calculator.jsonl", threads=1)
    return digits(record["dgemm_gflops"], 2)


def _overhead(records):
    fields = {"file": "calculator.jsonl", "quantity": "overhead"}
    # Records without a number of threads were taken on one.
    found = [r for r in records.find("calculator", **fields) if r.get("threads", 1) == 1]
    return digits(1e3 * found[-1]["overhead_s"], 2)


def _drift(records):
    """Return a round bound that no run at constant energy drifts faster than."""
    runs = [records.newest("conservation", run=f"{driver} NVE") for driver in ("ASE", "LAMMPS")]
    drift = max(abs(run["drift_meV_atom_ps"]) for run in runs)
    unit = 10.0 ** math.floor(math.log10(drift))
    return digits(math.ceil(drift / unit) * unit, 1)


def _export_seconds(cpu):
    return lambda records: digits(records.newest("lammps export", cpu=cpu)["cpu_s"], 2)


FIGURES = {
    "lammps_processors.portable": _export_seconds("portable"),
    "lammps_processors.host": _export_seconds("host"),
    "kernels.gflops": lambda records: _rates(records, "dgemm_gflops"),
    "kernels.copy": lambda records: _rates(records, "copy_gb_s"),
    "calculator.gflops": _calculator_gflops,
    "calculator.floor": lambda records: digits(1e6 * _step(records, 8000)["floor_s"] / 8000),
    "calculator.overhead": _overhead,
    "md.drift": _drift,
    "scaling.speed_up": lambda records: digits(records.newest("scaling threads")["speed_up"], 2),
    "small_frames.evaluate": _small_frames("evaluate", "exponent"),
    "small_frames.fit": _small_frames("fit", "exponent"),
    "small_frames.over_compiled": _small_frames("predict", "over_compiled"),
    "scaling.import": lambda records: digits(records.newest("scaling import")["skpot_s"], 2),
}
