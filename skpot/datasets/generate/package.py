"""Write the bundled file from the labeled frames and print what it holds.

Usage: python package.py silicon.xyz.gz labeled/frame_*.xyz
       python package.py ethanol.xyz.gz labeled.xyz
"""

import collections
import gzip
import io
import sys

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

DECIMALS = {"energy": 6, "forces": 6, "stress": 8}


def rounded(frame):
    """Return a frame with what belongs into the file, rounded."""
    copy = Atoms(
        frame.numbers,
        np.round(frame.positions, 6),
        cell=np.round(frame.cell.array, 8),
        pbc=frame.pbc,
        info={key: frame.info[key] for key in ("config_type", "group", "part")},
    )
    results = {k: np.round(v, DECIMALS[k]) for k, v in frame.calc.results.items() if k in DECIMALS}
    results["energy"] = float(results["energy"])
    for value in results.values():
        assert np.isfinite(value).all()
    if frame.info["config_type"] == "liquid":
        copy.wrap()  # atoms have diffused through several cells
        copy.positions = np.round(copy.positions, 6)
    copy.calc = SinglePointCalculator(copy, **results)
    return copy


def main(target, *sources):
    frames = [frame for source in sources for frame in read(source, ":")]
    frames.sort(
        key=lambda f: (f.info["part"] == "test", len(f) > 1, f.info["group"], f.info["frame"])
    )
    text = io.StringIO()
    write(text, [rounded(frame) for frame in frames], format="extxyz")
    with open(target, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as packed:
        packed.write(text.getvalue().encode())
    counts = collections.Counter((f.info["config_type"], f.info["part"]) for f in frames)
    for kind in dict.fromkeys(kind for kind, _ in counts):
        print(f"| {kind} | {counts[kind, 'train']} | {counts[kind, 'test']} |")
    seconds = sum(frame.info.get("cpu_seconds", 0) for frame in frames)
    print(f"{len(frames)} frames, {seconds / 60:.0f} CPU minutes")


if __name__ == "__main__":
    main(*sys.argv[1:])
