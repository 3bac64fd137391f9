"""Draw docs/peers.png: how many times longer, or larger, the peers' figures are than skpot's.

Reads the JSON lines of peers/gap.py and peers/descriptors.py from results/.
"""

import argparse
from pathlib import Path

from _common import json_lines

HERE = Path(__file__).resolve().parent
PARTS = ["fit CPU", "fit memory", "prediction", "energy error", "forces error", "stress error"]

DESCRIPTORS = {"soap peers": "SOAP", "symmetry_functions peers": "8 G2 + 8 G4"}
QUANTITIES = {
    "values": "values",
    "values+gradients": "values and all gradients",
    "values+pull-back": "one force evaluation",
}


def ratios(folder):
    """Return {panel: [(label, ratio)]}; the last record of each measurement counts."""
    records = []
    for path in sorted(Path(folder).glob("*.jsonl")):
        records += json_lines(path.read_text(encoding="utf-8"))
    panels = {}
    for record in records:
        if record.get("bench") == "gap" and "peer_over_skpot" in record:
            found = record["peer_over_skpot"]
            panels["gap_fit and quippy"] = {part: found[part] for part in PARTS}
        elif record.get("bench") in DESCRIPTORS and "peer_over_skpot" in record:
            title = f"{DESCRIPTORS[record['bench']]}: {QUANTITIES[record['quantity']]}"
            if record["bench"] == "symmetry_functions peers" and record["quantity"] != "values":
                title += " (the peer's values alone)"  # it has no gradients
            panel = panels.setdefault(title, {})
            panel[f"{record['peer']}, {record['system']}"] = record["peer_over_skpot"]
    return panels


def draw(panels, path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    heights = [len(bars) for bars in panels.values()]
    figure, axes = pyplot.subplots(
        len(panels), 1, figsize=(7.0, 0.9 + 0.28 * sum(heights) + 0.5 * len(panels)), sharex=True,
        squeeze=False, gridspec_kw={"height_ratios": heights}, layout="constrained",
    )  # fmt: skip
    for axis, (title, bars) in zip(axes[:, 0], panels.items(), strict=True):
        values = list(bars.values())
        axis.barh(range(len(bars)), [v - 1.0 for v in values], left=1.0, height=0.65)
        axis.set_yticks(range(len(bars)), list(bars))
        axis.invert_yaxis()
        axis.set_xscale("log")
        axis.axvline(1.0, color="black", linewidth=0.8)
        axis.set_title(title, loc="left", fontsize=10)
        for k, value in enumerate(values):
            text = f"{value:.1f}" if value < 10 else f"{value:.0f}"
            axis.annotate(
                text, (max(value, 1.0), k), xytext=(3, 0), textcoords="offset points",
                va="center", fontsize=8,
            )  # fmt: skip
        axis.margins(x=0.12)
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1, 0].set_xlabel("peer / skpot (CPU time, memory or error; one thread)")
    ticks = [1, 2, 5, 10, 20, 50]
    axes[-1, 0].set_xticks(ticks, [str(t) for t in ticks])
    axes[-1, 0].minorticks_off()
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", default=HERE / "results")
    parser.add_argument("--out", default=HERE.parent / "docs" / "peers.png")
    options = parser.parse_args()
    panels = ratios(options.results)
    if not panels:
        raise SystemExit(f"no comparison with a peer in {options.results}")
    draw(panels, options.out)


if __name__ == "__main__":
    main()
