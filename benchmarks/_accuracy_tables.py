"""Tables and figures of errors on published sets, on built alloys, and of their deviations."""

from itertools import product

from _records import digits, gigabytes, seconds, span, table, tenths

# Title, and errors of others: test errors of GAP; Ta, InP and Fe: training errors of SNAP.
SETS = {
    "mlearn_Si": ("mlearn Si", "2.91, 70"),
    "mlearn_Cu": ("mlearn Cu", "0.46, 10"),
    "mlearn_Li": ("mlearn Li", "0.49, 10"),
    "rmd17_ethanol": ("rMD17 ethanol, 1000", "3.5, 18.1"),
    "Ta_snap": ("Ta, a fifth held out", "113, 76"),
    "InP": ("InP, a fifth held out", "3.3, 68"),
    "Fe": ("Fe, a fifth held out", "455, 363"),
}
MOLECULES = {"rmd17_ethanol": ("test_MD", "mae"), "3bpa": ("test_300K", "rmse")}
LONG_TITLES = {
    "mlearn_Si": "mlearn Si",
    "mlearn_Cu": "mlearn Cu",
    "mlearn_Li": "mlearn Li",
    "rmd17_ethanol": "rMD17 ethanol, 1000 frames",
    "3bpa": "3BPA, 500 frames, RMSE at 300 K (600 K)",
    "Ta_snap": "Ta, a fifth of each group held out",
    "InP": "InP, likewise, 1522 frames, 95 000 atoms",
    "Fe": "Fe, likewise, 2017 frames, 50 500 atoms",
}
COMPOSITIONS = ("Li", "Li2S", "Li3P", "Li7P3S11", "Li7PS6", "P", "P2S5", "gamma-Li3PS4")
MIXINGS = {
    "chosen": "as chosen: three pseudo-elements",
    "totals": "totals",
    "apart": "not at all",
}
ALLOYS = (["Cu", "Ag", "Au", "Ni", "Pd", "Pt"], ["Cu", "Ag", "Au", "Pd"])
HYPERS = {
    "silicon": "bundled silicon",
    "ethanol": "bundled ethanol",
    "3bpa": "3BPA",
    "rmd17_ethanol": "rMD17 ethanol",
    "mlearn_Si": "mlearn Si",
    "mlearn_Li": "mlearn Li",
    "mlearn_Cu": "mlearn Cu",
    "InP": "InP",
    "LiPS20": "LiPS20",
    "water_dpmd": "water",
}
PRESETS = {"None": "plain", "fast": "fast", "default": "default", "accurate": "accurate"}
RUNS = {
    "cu": "Cu, EMT, 300 to 2000 K",
    "cuagau": "CuAgAu, EMT, 300 to 2000 K",
    "ethanol": "ethanol, GFN2-xTB, 300 to 1200 K",
    "3bpa": "3BPA, 600 K",
}
DRAWS = {
    ("si", "test"): "mlearn Si, test",
    ("si", "unused"): "mlearn Si, unused",
    ("3bpa", "test"): "3BPA, trained at 300 K, 600 K",
    ("3bpa", "unused"): "3BPA, 300 K, unused",
    ("ethanol", "test"): "rMD17 ethanol, test",
    ("ethanol", "unused"): "rMD17 ethanol, unused",
}


def _of_set(records, name, preset="accurate", selection="cur"):
    return records.newest("accuracy sets", set=name, preset=preset, selection=selection)


def _errors(record, part=None):
    """Return energy (meV/atom, of molecules meV) and forces (meV/Å) of the test part."""
    usual, kind = MOLECULES.get(record["set"], ("test" if "test" in record else "held", "mae"))
    errors = record[part or usual]
    energy = "total_energy_meV" if record["set"] in MOLECULES else "energy_meV_atom"
    return errors[f"{kind}_{energy}"], 1e3 * errors[f"{kind}_forces_eV_A"]


def published(records):
    """Return the errors of the most accurate preset beside those of others."""
    rows = []
    for name, (title, others) in SETS.items():
        record = _of_set(records, name)
        energy, forces = _errors(record)
        unit = "meV" if name in MOLECULES else "meV/atom"
        errors = f"{digits(energy)} {unit}, {digits(forces, 2)} meV/Å"
        rows.append([title, errors, others, seconds(record["fit_cpu_s"])])
    return table(["", "energy, forces", "published", "fit, CPU"], rows)


def bpa(records):
    """Return errors on 3BPA at the temperature of training and above it, beside those of others."""
    record = _of_set(records, "3bpa")
    cells = []
    for part in ("test_300K", "test_600K"):
        energy, forces = _errors(record, part)
        cells.append(f"{tenths(energy)} meV, {digits(forces, 2)} meV/Å")
    rows = [
        ["skpot", *cells, seconds(record["fit_cpu_s"])],
        ["linear ACE", "7.1, 27", "24.0, 64", ""],
        ["GAP", "22.8, 87", "61, 152", ""],
    ]
    return table(["", "300 K", "600 K", "fit, CPU"], rows)


def sets(records):
    """Return the errors, the solution and the costs of the most accurate preset."""
    rows = []
    for name, title in LONG_TITLES.items():
        record = _of_set(records, name)
        chosen = record["chosen"]
        if chosen["exact"]:
            solution = f"exact, {chosen['iterations']} iterations"
        else:
            solution = f"{chosen['references']} references"
        rows.append([title, *_with_second_part(record), solution, *_costs(record)])
    record = _of_set(records, "InP", selection=None)
    title = "InP with `--selection random`, cutoff 6.6 Å"
    rows.append([title, *map(digits, _errors(record)), "", *_costs(record)])
    return table(["set", "energies", "forces", "solution", "fit, CPU", "peak"], rows)


def _with_second_part(record):
    """Return energies and forces, in brackets without copies or at the higher temperature."""
    cells = [digits(error) for error in _errors(record)]
    second = next((part for part in ("test_without_copies", "test_600K") if part in record), None)
    if second is None:
        return cells
    others = [digits(error) for error in _errors(record, second)]
    return [f"{cell} ({other})" for cell, other in zip(cells, others, strict=True)]


def _costs(record):
    return [seconds(record["fit_cpu_s"]), gigabytes(record["peak_mb"])]


def selections(records):
    """Return sparse presets with references at random and by leverage."""
    cases = {
        ("InP", "default", "cur"): ("InP", "default, 1500 by leverage"),
        ("Fe", "fast", None): ("Fe, 2017 frames", "fast, 400 at random"),
        ("Fe", "fast", "cur"): ("Fe", "fast, 400 by leverage"),
    }
    rows = []
    for case, titles in cases.items():
        record = _of_set(records, *case)
        rows.append([*titles, *map(digits, _errors(record)), *_costs(record)])
    return table(["set", "preset, references", "energies", "forces", "fit, CPU", "peak"], rows)


def lips(records):
    """Return errors on the compositions of LiPS20."""
    columns = {
        "fast, at random": ("fast", None),
        "fast, by leverage": ("fast", "cur"),
        "accurate": ("accurate", "cur"),
    }
    found = [_of_set(records, "LiPS20", *case) for case in columns.values()]

    def cell(errors):
        forces = f"{1e3 * errors['mae_forces_eV_A']:.0f}"
        energy, stress = errors["mae_energy_meV_atom"], errors["rmse_stress_GPa"]
        return f"{tenths(energy)}, {forces}, {tenths(stress)}"

    rows = [[name, *(cell(record[name]) for record in found)] for name in COMPOSITIONS]
    return table(["composition", *columns], rows)


def alloys(records):
    """Return errors on built alloys by how species are mixed."""

    def cell(mixing, elements):
        record = records.newest("accuracy alloys", mixing=mixing, elements=elements)
        energy, forces = _alloy_errors(record)
        return f"{tenths(energy)}, {forces:.0f}; {record['features']}"

    rows = [[title, *(cell(mixing, e) for e in ALLOYS)] for mixing, title in MIXINGS.items()]
    return table(["species mixed", *map(" ".join, ALLOYS)], rows)


def _alloy_errors(record):
    return record["test"]["mae_energy_meV_atom"], 1e3 * record["test"]["mae_forces_eV_A"]


def uncertainty(records):
    """Return calibration errors and rank correlations, as they are and calibrated."""
    rows = []
    for (name, part), title in DRAWS.items():
        record = records.newest("accuracy uncertainty, all draws", set=name)
        cells, correlations = [], []
        for kind in ("plain", "coverage"):
            both = [record[f"{part} {kind} {label}"] for label in ("energy", "forces")]
            cells.append(", ".join(f"{b['mean']:.2f} ({b['largest']:.2f})" for b in both))
            correlations.append(f"{both[1]['least_correlation']:.2f}")
        rows.append([title, *cells, ", ".join(correlations)])
    return table(["set", "plain", "calibrated", "correlation, before, after"], rows)


def trust(records):
    """Return rank correlations of deviations and grades with errors, the runs of each set."""
    rows = []
    for name, title in RUNS.items():
        every = records.find("trust ranks", set=name, preset="fast")
        runs = list({record["seed"]: record for record in every}.values())

        def correlations(kind, of, runs=runs):
            return ", ".join(f"{record[kind][of]:.2f}" for record in runs)

        errors = ", ".join(f"{record['rmse_forces_eV_A']:.2f}" for record in runs)
        over = ", ".join(f"{record['draws_over_exact'][1]:.2f}" for record in runs)
        cells = [correlations(kind, "frames") for kind in ("draws", "exact", "grade")]
        atoms = [correlations(kind, "atoms") for kind in ("draws", "grade")]
        rows.append([title, errors, *cells, *atoms, over])
    header = [
        "set", "RMSE, eV/Å", "frames: draws", "frames: exact", "frames: grade", "atoms: draws",
        "atoms: grade", "draws over exact, median",
    ]  # fmt: skip
    return table(header, rows)


PRESET_SETS = {
    "si": "mlearn Si",
    "cu": "mlearn Cu",
    "3bpa": "3BPA, trained at 300 K, tested at 600 K",
    "ethanol": "rMD17 ethanol",
}


def calibration(records):
    """Return calibration errors of the presets, and what calibration costs."""

    def cell(record, part):
        both = [record.get(f"{part} calibrated {label}") for label in ("energy", "forces")]
        if None in both:
            return "–"
        return ", ".join(f"{b['mean']:.3f} ({b['largest']:.3f})" for b in both)

    rows = []
    for (name, title), preset in product(PRESET_SETS.items(), ("fast", "default", "accurate")):
        fields = {"set": name, "preset": preset}
        found = records.newest_or_none("calibration of presets, all draws", **fields)
        if found is None:
            continue
        solution = f"{preset}, {'exact' if found['exact'] else 'sparse'}, {found['draws']}"
        cost = f"{found['times_uncalibrated']:.2f}"
        rows.append([title, solution, cell(found, "test"), cell(found, "unused"), cost])
    return table(["set", "preset, kind, draws", "test", "unused", "fit over uncalibrated"], rows)


def stops(records):
    """Return where runs of silicon end by the limits of `skpot md`."""
    rows = [
        [
            record["preset"], f"{record['kelvin']}", f"{0.001 * record['steps_asked_for']:g}",
            f"{record['picoseconds']:g}", f"{record['exit_code']}", f"{record['closest_A']:.2f}",
        ]
        for record in records.find("trust stops")
    ]  # fmt: skip
    header = ["preset", "K", "ps asked for", "ps run", "exit code", "closest pair at the end, Å"]
    return table(header, rows)


def _hypers(descriptor):
    """Return a table of the presets of `hypers` of a descriptor beside plain parameters."""

    def of_sets(records):
        rows, times = [], {preset: [] for preset in PRESETS}
        for name, title in HYPERS.items():
            fields = {"set": name, "descriptor": descriptor}
            found = {p: records.newest_or_none("hypers", hypers=p, **fields) for p in PRESETS}
            if not all(found.values()):
                continue
            rows.append([title, *map(_hypers_errors, found.values())])
            for preset, record in found.items():
                times[preset].append(record["fit_cpu_s"] / found["None"]["fit_cpu_s"])
        if not rows:
            raise LookupError(f"results/ has no record of the presets of {descriptor}")
        rows.append(["fit, times plain", *map(span, times.values())])
        return table(["set", *PRESETS.values()], rows)

    return of_sets


def _hypers_errors(record):
    return f"{digits(record['rmse_energy_meV_atom'])}, {digits(record['rmse_forces_eV_A'])}"


CHECKED = {
    "silicon": "bundled silicon",
    "ethanol": "bundled ethanol",
    "mlearn_Si": "mlearn Si",
    "mlearn_Cu": "mlearn Cu",
    "InP": "InP",
    "3bpa": "3BPA",
    "mlearn_Li": "mlearn Li",
    "rmd17_ethanol": "rMD17 ethanol",
    "Ta_snap": "Ta",
    "Fe": "Fe",
    "LiPS20": "LiPS20, Li3P",
    "water_dpmd": "water",
}


def checked(records):
    """Return how many mistakes `skpot.check` found, and what it found in the sets as they are."""
    rows = []
    for name, title in CHECKED.items():
        given = records.newest_or_none("check_as_given", set=name)
        if given is None:
            continue
        found = [f"{kind} ({n} frames)" for kind, n in given["findings"]]
        made = records.newest_or_none("check_mistakes", set=name)
        share = f"{made['found']} of {made['of']}" if made else "–"
        rows.append([title, str(given["frames"]), share, ", ".join(found) or "nothing"])
    return table(["set", "frames", "mistakes found", "found in the set as it is"], rows)


TABLES = {
    "checked": checked,
    "hypers_soap": _hypers("soap"),
    "hypers_symmetry": _hypers("symmetry"),
    "published": published,
    "bpa": bpa,
    "sets": sets,
    "selections": selections,
    "lips": lips,
    "alloys": alloys,
    "uncertainty": uncertainty,
    "trust": trust,
    "calibration": calibration,
    "stops": stops,
}


def _copies(name, k):
    def figure(records):
        errors = _errors(_of_set(records, name), "test_without_copies")
        return digits(errors[k], 2 + (k == 0))

    return figure


def _alloy(mixing, k):
    def figure(records):
        record = records.newest("accuracy alloys", mixing=mixing, elements=ALLOYS[0])
        return tenths(_alloy_errors(record)[k]) if k == 0 else f"{_alloy_errors(record)[k]:.0f}"

    return figure


def _split(write):
    """Return a figure of the silicon set on its own split, with noise by cross-validation."""
    return lambda records: write(records.newest("accuracy", quantity="test"))


def _symmetric(permutations, write):
    fields = {"set": "rmd17_ethanol", "permutations": permutations}
    return lambda records: write(records.newest("accuracy symmetric", **fields))


def _lips(preset, write):
    return lambda records: write(_of_set(records, "LiPS20", preset))


def _calibration(errors):
    return ", ".join(f"{errors[kind]['calibration_error']:.2f}" for kind in ("energy", "forces"))


def _scaled(name):
    """Return calibration errors by the factor and noise of largest likelihood."""
    # Runs of other methods have more seeds than one, and name them.
    return lambda records: _calibration(
        records.newest("accuracy uncertainty", set=name, seed=None)["scale"]
    )


def _copper(kind):
    return lambda records: _calibration(
        records.newest("accuracy uncertainty", set="cu")["test"][kind]
    )


def _ta_group(write):
    """Return a figure of the group of Ta whose energies are worst."""

    def figure(records):
        groups = _of_set(records, "Ta_snap")["held_by_group"]
        worst = max(groups, key=lambda name: groups[name]["mae_energy_meV_atom"])
        return write(worst, groups[worst])

    return figure


def _inp_share(records):
    """Return the share of strained cells in the sum of all errors of energies, at random."""
    groups = _of_set(records, "InP", selection=None)["held_by_group"]
    sums = {name: g["structures"] * g["mae_energy_meV_atom"] for name, g in groups.items()}
    return f"{100.0 * (sums['EOS'] + sums['Strain']) / sum(sums.values()):.0f} %"


def _calibrated_at_most(records):
    """Return the largest mean calibration error of all test parts after calibration."""
    found = []
    for name in ("si", "3bpa", "ethanol"):
        record = records.newest("accuracy uncertainty, all draws", set=name)
        found += [record[f"test coverage {label}"]["mean"] for label in ("energy", "forces")]
    return f"{max(found):.2f}"


def _ethanol_energy(record):
    return digits(record["test_MD"]["mae_energy_meV"])


def _ethanol_forces(record):
    return digits(record["test_MD"]["mae_forces_meV_A"])


FIGURES = {
    "mlearn.energy": _split(lambda r: digits(r["all"]["mae_energy_meV_atom"])),
    "mlearn.forces": _split(lambda r: digits(r["all"]["mae_forces_eV_A"], 2)),
    "mlearn.cpu": _split(lambda r: digits(r["fit_cpu_s"], 2)),
    "mlearn.peak": _split(lambda r: digits(r["peak_mb"] / 1000.0, 2)),
    "cu.energy": _copies("mlearn_Cu", 0),
    "cu.forces": _copies("mlearn_Cu", 1),
    "si.energy": _copies("mlearn_Si", 0),
    "si.forces": _copies("mlearn_Si", 1),
    "alloys.energy": _alloy("chosen", 0),
    "alloys.forces": _alloy("chosen", 1),
    "alloys.apart.energy": _alloy("apart", 0),
    "alloys.apart.forces": _alloy("apart", 1),
    "lips.fast.cpu": _lips("fast", lambda r: seconds(r["fit_cpu_s"])),
    "lips.fast.peak": _lips("fast", lambda r: gigabytes(r["peak_mb"])),
    "lips.accurate.cpu": _lips("accurate", lambda r: seconds(r["fit_cpu_s"])),
    "lips.accurate.peak": _lips("accurate", lambda r: gigabytes(r["peak_mb"])),
    "ta.group": _ta_group(lambda name, errors: name),
    "ta.structures": _ta_group(lambda name, errors: str(errors["structures"])),
    "ta.energy": _ta_group(lambda name, errors: digits(errors["mae_energy_meV_atom"])),
    "inp.share": _inp_share,
    "uncertainty.most": _calibrated_at_most,
    "uncertainty.scale.si": _scaled("si"),
    "uncertainty.scale.3bpa": _scaled("3bpa"),
    "uncertainty.cu.before": _copper("plain"),
    "uncertainty.cu.after": _copper("coverage"),
    "symmetric.energy": _symmetric(6, _ethanol_energy),
    "symmetric.forces": _symmetric(6, _ethanol_forces),
    "symmetric.cpu": _symmetric(6, lambda record: seconds(record["cpu_s"])),
    "symmetric.without.energy": _symmetric(1, _ethanol_energy),
    "symmetric.without.forces": _symmetric(1, _ethanol_forces),
}
