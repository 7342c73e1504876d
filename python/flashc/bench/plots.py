"""Two pictures of a report, as SVG: shares of the limit against size, and ratios to the best peer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

MASK_LINES = {"full": "-", "causal": "--", "window": ":"}
COLORS = {64: "tab:blue", 80: "tab:orange", 96: "tab:green", 128: "tab:red", 256: "tab:purple"}
Row = dict[str, Any]


def share(row: Row, name: str = "flashc") -> float | None:
    figure = row["results"].get(name, {}).get("warm", {})
    return figure.get("share")


def curves(rows: list[Row]) -> dict[str, dict[tuple[int, str], list[Row]]]:
    """By element type (decoding apart), then by head dim and mask, ordered by size; cells that have a share."""
    found: dict[str, dict[tuple[int, str], list[Row]]] = {}
    for row in sorted(rows, key=lambda row: row["case"]["keys"]):
        case = row["case"]
        if share(row) is None:
            continue
        if row["kind"] == "decode":
            grouped = "grouped heads" if case["heads"] != case["key_heads"] else "plain heads"
            found.setdefault("decode", {}).setdefault((case["dtype"], f"{grouped}, Sq{case['queries']}"), []).append(
                row
            )
        elif case["batch"] == 1 and case["heads"] == case["key_heads"]:
            found.setdefault(case["dtype"], {}).setdefault((case["head_dim"], case["mask"]), []).append(row)
    return found


def sizes_of(lines: dict[tuple[int, str], list[Row]]) -> list[int]:
    return sorted({row["case"]["keys"] for rows in lines.values() for row in rows})


def plot_shares(report: dict[str, Any], path: Path) -> None:
    """One panel an element type and one for decoding: flashc's share of the limit, the best peer's in grey."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    panels = curves(report["cases"])
    if not panels:
        return
    figure, axes = plt.subplots(1, len(panels), figsize=(4.2 * len(panels), 4), sharey=True, squeeze=False)
    for axis, (title, lines) in zip(axes[0], panels.items()):
        for index, ((key, style), rows) in enumerate(lines.items()):
            sizes = [row["case"]["keys"] for row in rows]
            best = [row.get("best_peer", {}).get("warm", {}).get("name") for row in rows]
            theirs = [share(row, name) if name else None for row, name in zip(rows, best)]
            color = COLORS.get(key, f"C{index % 10}")
            points = [(s, t) for s, t in zip(sizes, theirs) if t is not None]
            axis.plot([s for s, _ in points], [t for _, t in points], "x", color="0.7", markersize=4)
            label = f"D{key} {style}" if isinstance(key, int) else f"{key}, {style}"
            line = MASK_LINES.get(style, "-")
            axis.plot(sizes, [share(row) for row in rows], line, color=color, marker="o", markersize=3, label=label)
        axis.axhline(1.0, color="0.5", linewidth=0.8)
        axis.set_xscale("log", base=2)
        axis.set_ylim(0, 1.05)
        axis.set_xticks(sizes_of(lines), [str(size) for size in sizes_of(lines)], fontsize=7, minor=False)
        axis.minorticks_off()
        axis.set_title(title)
        axis.set_xlabel("keys")
        axis.legend(fontsize=6, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.15))
        axis.grid(alpha=0.2)
    axes[0][0].set_ylabel("share of the measured limit (x: the best peer)")
    save(figure, path)


def plot_ratios(report: dict[str, Any], path: Path) -> None:
    """One bar a cell, longest first: how many times faster than the best peer flashc is, warm."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    found = [(row["best_peer"]["warm"], row["name"]) for row in report["cases"] if row.get("best_peer", {}).get("warm")]
    if not found:
        return
    found.sort(key=lambda entry: entry[0]["ratio"])
    figure, axis = plt.subplots(figsize=(8, 1 + 0.17 * len(found)))
    ratios = [best["ratio"] for best, _ in found]
    axis.barh(range(len(found)), ratios, color=["tab:blue" if ratio >= 1 else "tab:red" for ratio in ratios])
    axis.set_yticks(range(len(found)), [f"{name}  ({best['name']})" for best, name in found], fontsize=6)
    axis.axvline(1.0, color="0.3", linewidth=0.8)
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter("{x:g}")
    axis.tick_params(axis="x", which="both", labelsize=7)
    axis.set_ylim(-1, len(found))
    axis.set_xlabel("flashc over the best peer (named in brackets), warm")
    save(figure, path)


def save(figure: Any, path: Path) -> None:
    """The same figures give the same bytes."""
    import matplotlib
    import matplotlib.pyplot as plt

    path.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({"svg.hashsalt": "flashc", "svg.fonttype": "none"}):
        figure.savefig(path, format="svg", bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)


def plot(report: dict[str, Any], folder: Path) -> list[Path]:
    """Writes bench-share.svg and bench-ratio.svg; the paths of those that there was something for."""
    paths = [folder / "bench-share.svg", folder / "bench-ratio.svg"]
    for path, draw in zip(paths, (plot_shares, plot_ratios)):
        path.unlink(missing_ok=True)
        draw(report, path)
    return [path for path in paths if path.exists()]
