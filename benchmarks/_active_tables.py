"""Tables of active learning: pools, and runs that label by themselves."""

import collections

from _records import table, tenths

POOLS = {
    "3bpa": "3BPA",
    "mlearn_Cu": "mlearn Cu",
    "mlearn_Si": "mlearn Si",
    "LiPS20": "LiPS20",
    "water_dpmd": "water",
    "silicon": "bundled silicon",
}
TESTS = {"test": "", "hot": ", hot frames"}
SYSTEMS = {
    "cu": "Cu, 32 atoms",
    "cuagau": "CuAgAu, 32 atoms",
    "si": "Si, 32 atoms, Stillinger-Weber by LAMMPS",
    "ethanol": "ethanol, GFN2-xTB",
}


def pools(records):
    """Return errors of structures that were chosen by queries, and at random, by set."""
    rows = []
    for name, title in POOLS.items():
        found = _newest(records, name)
        for (labels, test), by_query in sorted(found.items()):
            if by_query.keys() <= {"Random"} or "Random" not in by_query:
                continue
            cells = [f"{title}{TESTS[test]}", str(labels)]
            for query in ("VOptimal", "DOptimal", "Mixture", "Random"):
                errors = by_query.get(query)
                cells.append(_means(errors) if errors else "–")
            rows.append(cells)
    if not rows:
        raise LookupError("no pools")
    head = ["set", "labels", "V-optimal", "D-optimal", "D, half at random", "random, mean of seeds"]
    return table(head, rows)


def _means(errors):
    mean = {k: sum(e[k] for e in errors) / len(errors) for k in errors[0]}
    return f"{mean['energy']:.2f}, {tenths(mean['forces'])}, {tenths(mean['quantile'])}"


def _newest(records, name):
    """Return lists of errors by number of labels and test set, then by query."""
    try:
        found = records.find("active_pools", set=name)
    except LookupError:
        return {}
    latest = {(r["query"], r["labels"]): r for r in found}
    out = collections.defaultdict(lambda: collections.defaultdict(list))
    for (query, labels), record in latest.items():
        for test, errors in record["errors"].items():
            out[labels, test][query.split()[0]].append(errors)
    return out


def hot_found(query):
    """Return what reads how many of the 15 hot frames of 3BPA are among 30 picks of a query."""

    def found(records):
        return str(records.newest("active_pools", set="3bpa", query=query, labels=30)["hot"])

    return found


def runs(records):
    """Return calls and errors of runs that label by themselves."""
    rows = []
    for name, title in SYSTEMS.items():
        try:
            found = records.find("active_runs", system=name)
        except LookupError:
            continue
        latest = {(r["tol"], r["seed"], r["failures"], r["steps"]): r for r in found}
        for _, r in sorted(latest.items()):
            forces, hottest = r["errors"]["forces"], r["errors"]["hottest"]
            rows.append(
                [
                    title, f"{r['tol']:g}", str(r["seed"]), str(r["steps"]),
                    f"{r['calls']} ({r['failed']})", f"{forces:.1f} ({hottest:.1f})",
                    f"{r['random_errors']['forces']:.1f} ({r['random_errors']['hottest']:.1f})",
                    f"{r['missed_percent']:.1f} %",
                ]
            )  # fmt: skip
    if not rows:
        raise LookupError("no runs")
    head = [
        "system", "tolerance, eV/Å", "seed", "steps", "calls (failed)", "forces (hottest third)",
        "as many random frames", "missed",
    ]  # fmt: skip
    return table(head, rows)


def updates(records):
    """Return what a new model costs, as a fit and as an update, and what it is worth."""
    record = records.newest("active_checks")
    rows = [
        [title, f"{record['new_model_cpu_s'][name]:.2f}", f"{record['new_model_errors'][name]:.0f}"]
        for name, title in {"refit": "a new fit", "update": "`SparseGPR.partial_fit`"}.items()
    ]
    head = ["51st structure by", "CPU time, s", "forces after ten structures and forty more, meV/Å"]
    return table(head, rows)


def memory(records):
    """Return the memory and time of a query among many candidates, and among a tenth of them."""
    r = records.newest("active_checks")
    rows = [
        [
            "in memory",
            f"{r['grown_mb_tenth']:.0f}",
            f"{r['grown_mb']:.0f}",
            f"{r['selection_cpu_s']:.0f}",
        ],
        [
            "in a file",
            f"{r['grown_mb_in_file_tenth']:.0f}",
            f"{r['grown_mb_in_file']:.0f}",
            f"{r['in_file_cpu_s']:.0f}",
        ],
    ]
    n = r["candidates"]
    return table(["structures", f"MB, {n // 10}", f"MB, {n}", f"CPU time, s, {n}"], rows)


TABLES = {"pools": pools, "runs": runs, "updates": updates, "memory": memory}
FIGURES = {"pools.hot": hot_found("DOptimal"), "pools.hot_v": hot_found("VOptimal")}
