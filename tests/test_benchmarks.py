"""The benchmarks run: each script once, on tiny systems."""

import json
import os
import subprocess
import sys

import pytest

from tests.project import ROOT
from tests.samples import crystals

FOLDER = ROOT / "benchmarks"
THREADS = {
    name: "1"
    for name in [
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMBA_NUM_THREADS",
        "RAYON_NUM_THREADS",
    ]
}


def run(*arguments):
    # With the thread settings in place the scripts need not restart themselves.
    environment = os.environ | THREADS | {"OMP_WAIT_POLICY": "passive", "MPLBACKEND": "Agg"}
    command = [sys.executable, *map(str, arguments)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]


@pytest.mark.parametrize(
    "stem", ["neighbors", "soap", "symmetry_functions", "splines", "calculator"]
)
def test_kernel_benchmarks(stem, tmp_path):
    out = tmp_path / "figures.jsonl"
    records = run(FOLDER / f"bench_{stem}.py", "--quick", "--out", out)
    assert [json.loads(line) for line in out.read_text().splitlines()] == records
    assert records[0]["dgemm_gflops"] > 0.0
    timed = [r for r in records if "times_floor" in r]
    assert timed
    # A kernel below its floor means that the floor is counted wrongly.
    assert all(r["times_floor"] > 1.0 for r in timed)


def test_network_benchmark():
    about, *records = run(FOLDER / "bench_network.py", "--quick")
    assert about["dgemm_gflops"] > 0.0
    names = [record.get("model", record["quantity"]) for record in records]
    assert names == ["stored", "in a file", "recomputed", "kernel", "one network", "four networks"]
    assert all(record["us_per_atom"] > 0.0 for record in records)
    assert records[0]["times_floor"] > 1.0


def test_fit_benchmark():
    stages, memory = run(FOLDER / "bench_sparse_gpr.py", "--quick", "--references", "20")
    assert {"descriptors", "jacobian", "products", "qr"} <= set(stages["stages_s"])
    assert stages["rows"] == 4 * (1 + 3 * 8 + 6)
    assert memory["peak_mb"] >= memory["imports_mb"] > 0.0


def test_small_frames_benchmark():
    records = run(FOLDER / "bench_small_frames.py", "--quick")
    exponents = {r["task"]: r["exponent"] for r in records if "exponent" in r}
    assert exponents["evaluate"] < 1.3 and "fit" in exponents  # a few hundred frames: mostly set-up
    assert records[-1]["over_compiled"] > 0.0


def test_benchmark_of_structures_in_files():
    in_files, in_memory = run(FOLDER / "bench_streamed.py", "--strides", "8", "--in-memory")
    assert in_files["how"] == "in files" and in_memory["how"] == "in memory"
    same = ("frames", "atoms", "references")
    assert [in_files[name] for name in same] == [in_memory[name] for name in same]


def test_benchmark_of_limited_memory():
    (record,) = run(FOLDER / "bench_memory.py", "--stride", "4", "--models", "fast")
    assert 0.0 < record["over_limit"] < 1.1 and record["above_mb"] > 0.0


def test_benchmark_of_predictions_that_are_killed(tmp_path):
    options = "--frames", "1200", "--folder", tmp_path
    tenth, rest, order = run(FOLDER / "bench_evaluate.py", *options)
    assert tenth["predicted"] == 120 and 0 < rest["predicted"] < 1200
    assert order == {"each_once_in_order": True}


def test_search_benchmark():
    (record,) = run(FOLDER / "bench_sparse_gpr_cv.py", "--quick")
    assert record["folds"] == 5 and record["settings"] == 20
    assert record["relative_difference_from_rows"] < 1e-7


def test_linear_benchmark():
    records = run(FOLDER / "bench_linear_ridge.py", "--quick")
    assert [r["model"] for r in records] == ["LinearRidge", "SparseGPR"]
    assert 0 < records[0]["forces_rmse"] < records[1]["forces_rmse"] < 2
    assert all(r["predict_cpu_us_per_atom"] > 0 for r in records)


@pytest.fixture
def small_set(tmp_path):
    """Training and test files of which one test structure is a turned copy."""
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io import write

    frames = []
    for seed, atoms in enumerate(crystals("Si", 8)):
        labels = {"energy": -40.0 + 0.01 * seed, "forces": 0.1 * atoms.positions[::-1] % 0.3}
        atoms.calc = SinglePointCalculator(atoms, **labels, stress=[0.001] * 3 + [0.0] * 3)
        frames.append(atoms)
    copy = frames[0].copy()
    copy.rotate(40.0, (1, 2, 3), rotate_cell=True)
    copy.calc = SinglePointCalculator(copy, **frames[0].calc.results)
    write(tmp_path / "train.xyz", frames[:6])
    write(tmp_path / "test.xyz", [*frames[6:], copy])
    for name, part in [("Si_train100", frames[:6]), ("Si_test", frames[6:])]:
        for atoms in part:
            atoms.info["dft_energy"] = atoms.calc.results["energy"]
            atoms.info["dft_virial"] = 0.01 * atoms.cell.array
            atoms.arrays["dft_forces"] = atoms.calc.results["forces"]
            atoms.calc = None
        write(tmp_path / f"{name}.xyz", part)
    return tmp_path


def test_accuracy_finds_turned_copies(small_set):
    records = run(
        FOLDER / "accuracy_mlearn.py", "--data", small_set, "--references", 20, "--folds", 2,
        "--sigma-energy", "0.001,0.01", "--sigma-forces", "0.1",
    )  # fmt: skip
    test = records[-1]
    assert test["copies"] == [2]
    assert test["all"]["structures"] == 3
    assert test["without_copies"]["structures"] == 2


def test_presets_are_compared(small_set):
    records = run(FOLDER / "accuracy_hypers.py", "--quick")
    assert {r["set"] for r in records} == {"silicon", "ethanol"}
    assert {r["hypers"] for r in records} == {"None", "fast", "default", "accurate"}
    options = ["--data", small_set / "train.xyz", "--descriptor", "symmetry", "--hypers", "fast"]
    (record,) = run(FOLDER / "accuracy_hypers.py", "--quick", *options)
    assert record["chosen"]["n_radial"] < 8


def test_accuracy_of_the_exact_model(small_set):
    (record,) = run(
        FOLDER / "accuracy_exact.py", "--data", small_set, "--train", "train.xyz",
        "--test", "test.xyz", "--frames", 4, "--l-max", 2, "--components", 10,
        "--references", 10, "--cutoff", 4.0,
    )  # fmt: skip
    assert record["test"]["structures"] == 3
    assert record["labels"] == 4 * (1 + 24 + 6)
    assert record["residual"] <= 0.1


def test_accuracy_of_the_symmetric_model():
    (record,) = run(FOLDER / "accuracy_symmetric.py", "--frames", 20)
    assert (record["permutations"], record["labels"]) == (6, 20 * 28)
    assert 0.0 < record["ethanol"]["mae_forces_meV_A"] < 500.0


def test_accuracy_on_alloys():
    records = run(FOLDER / "accuracy_alloys.py", "--quick", "--elements", "Cu,Ag,Au,Pd")
    assert [record["mixing"] for record in records] == ["chosen", "totals", "apart"]
    assert [record["chosen"]["n_channels"] for record in records] == [3, None, 4]
    for record in records:
        assert record["test"]["structures"] == 4 and record["test"]["mae_forces_eV_A"] > 0.0


def test_uncertainty_on_published_sets(small_set):
    folder = small_set / "mlearn_Si"
    folder.mkdir()
    for name in ("train.xyz", "test.xyz"):
        (small_set / name).rename(folder / name)
    methods = ("coverage", "scale", "isotonic", "committee")
    options = ["--data", small_set, "--sets", "si", "--quick", "--seeds", 2]
    *records, last = run(
        FOLDER / "accuracy_uncertainty.py", *options, "--methods", ",".join(methods)
    )
    assert [record["frames"][:2] for record in records] == [[4, 3], [4, 3]]
    for kind in ("plain", *methods):
        errors = [record["test"][kind]["forces"]["calibration_error"] for record in records]
        assert 0.0 <= min(errors) <= max(errors) <= 0.5
        assert last[f"test {kind} forces"]["largest"] == max(errors)
    record, last = run(FOLDER / "accuracy_uncertainty.py", *options[:-2], "--models", "fast")
    assert record["preset"] == last["preset"] == "fast"
    assert record["times_uncalibrated"] > 1.0
    error = record["test"]["calibrated"]["forces"]["calibration_error"]
    assert last["test calibrated forces"]["largest"] == error <= 0.5


def test_our_side_of_the_comparisons(small_set):
    (gap,) = [
        r
        for r in run(
            FOLDER / "peers" / "gap.py", "--quick", "--data", small_set, "--references", 20,
            "--fits", 1,
        )
        if "skpot" in r
        and isinstance(r["skpot"], dict)
    ]  # fmt: skip
    assert gap["skpot"]["fit"]["cpu_s"] > 0.0
    for descriptor in ("soap", "symmetry_functions"):
        records = run(FOLDER / "peers" / "descriptors.py", "--quick", "--descriptor", descriptor)
        assert {r["system"] for r in records} == {"silicon8", "molecules2"}


def test_scaling_benchmark():
    records = run(FOLDER / "bench_scaling.py", "--quick")
    found = {r["bench"] for r in records}
    assert found == {"scaling size", "scaling threads", "scaling memory", "scaling import"}
    (memory,) = [r for r in records if r["bench"] == "scaling memory"]
    assert memory["peak_mb"] >= memory["before_mb"] > 0.0


def test_chart(tmp_path):
    ratios = dict.fromkeys(["fit CPU", "fit memory", "prediction"], 12.0)
    ratios |= dict.fromkeys(["energy error", "forces error", "stress error"], 0.9)
    soap = {"bench": "soap peers", "peer": "other", "system": "a", "quantity": "values"}
    lines = [{"bench": "gap", "peer_over_skpot": ratios}, soap | {"peer_over_skpot": 3.0}]
    (tmp_path / "some.jsonl").write_text("\n".join(map(json.dumps, lines)))
    run(FOLDER / "plot_peers.py", "--results", tmp_path, "--out", tmp_path / "chart.png")
    assert 1000 < (tmp_path / "chart.png").stat().st_size < 150_000


def test_accuracy_of_the_presets(small_set):
    (small_set / "mlearn_Si").mkdir()
    for part in ("train", "test"):
        (small_set / f"{part}.xyz").rename(small_set / "mlearn_Si" / f"{part}.xyz")
    (record,) = run(FOLDER / "accuracy_sets.py", "--data", small_set, "--quick", "--preset", "fast")
    assert record["test"]["structures"] == 3
    assert record["test_without_copies"]["structures"] == 2
    assert record["chosen"]["labels"] == 6 * (1 + 24 + 6)


def test_pools_for_queries():
    options = "--quick", "--seeds", "1", "--queries", "VOptimal"
    records = run(FOLDER / "active_pools.py", *options)
    assert [(r["query"], r["labels"]) for r in records] == [
        ("VOptimal", 3), ("VOptimal", 5), ("Random 0", 3), ("Random 0", 5),
    ]  # fmt: skip
    assert all(0.0 < r["errors"]["test"]["forces"] < 1e4 for r in records)


def test_runs_that_label_by_themselves():
    (record,) = run(FOLDER / "active_runs.py", "--quick")
    assert record["calls"] >= 3 and record["checks"] == 20 and not record["stopped"]
    assert 0.0 < record["errors"]["forces"] < 500.0


def test_runs_that_are_killed():
    (record,) = run(FOLDER / "active_kills.py", "--quick")
    assert record["kills"] == 2 and not record["runs_that_differ"] + record["labels_paid_twice"]


def test_costs_of_checks_and_memory_of_queries():
    (record,) = run(FOLDER / "active_checks.py", "--quick")
    assert record["ratio"] > 0.0 and record["candidates"] == 100
    assert 10.0 < record["grown_mb"] < 500.0 and 10.0 < record["grown_mb_in_file"] < 500.0
    assert record["new_model_cpu_s"]["update"] < record["new_model_cpu_s"]["refit"]
