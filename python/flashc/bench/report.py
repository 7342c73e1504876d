"""The figures as a table on a terminal, and as Markdown for the documents."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from . import targets
from .peers import PEERS

UNITS = {"dense": "GFLOP/s", "decode": "GB/s", "tiny": "us"}
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"


def number(value: float) -> str:
    """Three digits that matter.

    >>> [number(x) for x in (1234.5, 56.78, 9.876)]
    ['1234', '56.8', '9.88']
    """
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def columns(report: dict[str, Any]) -> list[str]:
    """The peers that have a figure in some case, in the order of `PEERS`."""
    present = {name for row in report["cases"] for name, note in row["results"].items() if "warm" in note}
    return [name for name in PEERS if name in present and name != "flashc"]


def cell(note: dict[str, Any] | None, spread: bool = False) -> str:
    if note is None:
        return "-"
    if "warm" not in note:
        return "wrong" if str(note.get("error", "")).startswith("wrong") else "failed" if "error" in note else "-"
    text = number(note["warm"]["median"])
    return f"{text} ±{note['warm']['spread']:.0%}" if spread else text


def cells(row: dict[str, Any], peers: list[str], yardstick: bool) -> list[str]:
    """One row: the case, flashc and its share of the limit, each peer, the ratio to the best of them, the same cold."""
    ours = row["results"].get("flashc")
    share = (ours or {}).get("warm", {}).get("share")
    of_limit = f"{share:.0%}" if share else "-"
    if read := row.get("read_limit", {}).get("warm"):
        spread = (ours or {}).get("warm", {}).get("share_spread", 0.0)
        of_limit += f" ±{spread:.0%} of {number(read['median'])}"
    if row.get("target"):
        of_limit += f" ({row['target']:.0%})"
    found = [row["name"], f"{cell(ours, spread=True)} {UNITS[row['kind']]}", of_limit]
    found += [cell(row["results"].get(name)) for name in peers]
    best = row.get("best_peer", {})
    warm, cold = best.get("warm"), best.get("cold")
    found.append(f"{warm['ratio']:.2f} ({warm['name']})" if warm else "-")
    cold_ours = (ours or {}).get("cold")
    text = number(cold_ours["median"]) if cold_ours else "-"
    if cold_ours and "share" in cold_ours:
        text += f", {cold_ours['share']:.0%}"
    found.append(text)
    found.append(f"{cold['ratio']:.2f}" if cold else "-")
    if yardstick:
        beside = row.get("yardstick")
        found.append(f"{beside['ratio']:.2f} of {number(beside['median'])}" if beside and "ratio" in beside else "-")
    return found


def header(report: dict[str, Any], peers: list[str]) -> list[str]:
    titles = ["case", "flashc", "of the limit (asked)", *(PEERS[name].title for name in peers)]
    titles += ["flashc / best peer", "cold: flashc", "cold: / best peer"]
    return titles + (["/ yardstick"] if any("yardstick" in row for row in report["cases"]) else [])


def table_rows(report: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    peers = columns(report)
    titles = header(report, peers)
    return titles, [cells(row, peers, titles[-1] == "/ yardstick") for row in report["cases"]]


def join(reports: list[dict[str, Any]]) -> dict[str, Any]:
    """Runs on one machine as one report: a case that several measured has the figures of the last of them.

    Raises ValueError where machines, threads or clocks differ, so that nothing is compared that cannot be.
    """
    first, *rest = reports
    for other in rest:
        for what, mine, theirs in (
            ("machine", first["machine"]["cpu"], other["machine"]["cpu"]),
            ("threads", first["machine"]["threads"], other["machine"]["threads"]),
            ("cpu_time", first["cpu_time"], other["cpu_time"]),
        ):
            if mine != theirs:
                raise ValueError(f"expected the same {what} in every run, got {mine!r} and {theirs!r}")
    rows = {row["name"]: row for report in reports for row in report["cases"]}
    peers: dict[str, Any] = {}
    idle: dict[str, float] = {}
    for report in reports:
        peers |= {name: peer for name, peer in report["peers"].items() if name not in peers or "absent" not in peer}
        for name, share in report["idle_cpu_share"].items():
            idle[name] = max(share, idle.get(name, 0.0))
    left_out = [name for report in reports for name in report.get("left_out", []) if name not in rows]
    return {
        **first,
        "cases": list(rows.values()),
        "peers": peers,
        "idle_cpu_share": idle,
        "left_out": list(dict.fromkeys(left_out)),
        "runs": reports,
    }


def about(report: dict[str, Any]) -> list[str]:
    """What has to stand beside every figure."""
    machine, runs = report["machine"], report.get("runs", [report])
    clock = "CPU time over the threads (not wall time)" if report["cpu_time"] else "wall time"
    rounds = " or ".join(str(count) for count in dict.fromkeys(run["rounds"] for run in runs))
    lines = [
        f"{machine['cpu']}, {machine['threads']} threads of {machine['cpus']} CPUs, {', '.join(machine['isa'])}",
        f"{clock}, medians of {rounds} alternating rounds (peers far slower: 3), ± the distance of the quartiles",
        "versions: " + ", ".join(f"{name} {version}" for name, version in sorted(versions(report).items())),
    ]
    for run in runs:
        values = [f"{name} {number(value)}" for name, value in run["limits"].items() if isinstance(value, float)]
        lines += [
            f"limits, measured before and after (memory of decoding: in its rounds): {', '.join(values)}",
            f"{run['date']}, load {run['machine']['load']} at the start, {run['command']}",
        ]
    paths = isa_paths(report)
    if paths:
        lines.insert(
            1, "flashc's products: " + "; ".join(f"{path}: {', '.join(kinds)}" for path, kinds in paths.items())
        )
    return lines


def versions(report: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for peer in report["peers"].values():
        found.update(peer.get("versions", {}))
    return found


def isa_paths(report: dict[str, Any]) -> dict[str, list[str]]:
    """The element types by the instructions that flashc's kernels use for them."""
    found: dict[str, list[str]] = {}
    for row in report["cases"]:
        path = row["results"].get("flashc", {}).get("isa_path")
        kinds = found.setdefault(path, []) if path else []
        kind = row["case"]["dtype"] + (" decode" if row["kind"] == "decode" else "")
        if kind not in kinds:
            kinds.append(kind)
    return found


def shortfalls(report: dict[str, Any]) -> list[str]:
    """The cells that miss a share asked or stand behind somebody, worst first, after a line that counts them."""
    behind = sorted((row for row in report["cases"] if targets.missed(row)), key=targets.shortfall)
    count = len(report["cases"])
    lines = [f"{count - len(behind)} of {count} cells reach the share asked and stand behind nobody"]
    return lines + [f"{row['name']}: {'; '.join(targets.missed(row))}" for row in behind]


def remarks(report: dict[str, Any]) -> list[str]:
    """What went wrong, and what stood idle but not still."""
    found = [
        f"{PEERS[name].title}: left out: {peer['absent']}" for name, peer in report["peers"].items() if "absent" in peer
    ]
    for row in report["cases"]:
        for name, note in row["results"].items():
            if "error" in note:
                found.append(f"{row['name']}: {PEERS[name].title}: {note['error']}")
    for name, share in report["idle_cpu_share"].items():
        if share > 0.01:
            found.append(f"{PEERS[name].title}: used {share:.1%} of a core while others were timed")
    if report.get("left_out"):
        found.append(f"past the time budget, not measured: {len(report['left_out'])} cases")
    return found


def show(report: dict[str, Any]) -> None:
    """Prints the table; with rich's help where it is installed."""
    titles, rows = table_rows(report)
    for line in about(report):
        print(line)
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        widths = [max(len(line[i]) for line in [titles, *rows]) for i in range(len(titles))]
        for row in [titles, *rows]:
            print("  ".join(text.ljust(width) for text, width in zip(row, widths)))
    else:
        table = Table(row_styles=["", "dim"])
        for index, title in enumerate(titles):
            table.add_column(title, justify="left" if index == 0 else "right", no_wrap=index == 0)
        for row in rows:
            table.add_row(*row)
        console = Console()
        if not console.is_terminal:
            console = Console(width=200)
        console.print(table)
    print("\n  ".join(shortfalls(report)))
    for remark in remarks(report):
        print(f"note: {remark}")
    if times := report.get("compile"):
        print(
            f"first compile {times['first_compile_ms']:.0f} ms, from the cache {times['from_cache_ms']:.1f} ms"
            " (until a causal D64 kernel has run, in a fresh process)"
        )


def markdown(report: dict[str, Any]) -> str:
    """The table and what it was measured on, for a document."""
    titles, rows = table_rows(report)
    lines = [f"- {line}" for line in about(report)]
    lines += ["", "| " + " | ".join(titles) + " |", "|---|" + "---:|" * (len(titles) - 1)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    behind = shortfalls(report)
    notes = [behind[0] + (", these do not:" if len(behind) > 1 else "."), ""]
    notes += [f"- {line}" for line in behind[1:]]
    if others := remarks(report):
        notes += ["", "Besides:", "", *(f"- {line}" for line in others)]
    return "\n".join([*lines, "", *notes]).rstrip() + "\n"


def write_markdown(path: Path, report: dict[str, Any]) -> None:
    """Writes a page of its own, or renews what stands between the marks of a page that has them."""
    text = markdown(report)
    page = path.read_text() if path.exists() else f"{BEGIN}\n{END}\n"
    if BEGIN not in page or END not in page:
        raise ValueError(f"{path}: expected the marks {BEGIN} and {END}")
    pattern = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)
    path.write_text(pattern.sub(lambda match: f"{BEGIN}\n{text}{END}", page, count=1))
