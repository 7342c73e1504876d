"""A program to run beside: it prints a line a cell, `float32 H8 D64 S1024 full: 437 GFLOP/s...`."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

from .cases import square
from .figures import figure

LINE = re.compile(r"^(float32|bf16|f32) H(\d+) D(\d+) S(\d+) (full|causal): ([\d.]+) GFLOP/s", re.MULTILINE)


def run(path: Path, threads: int) -> str:
    """What it prints, given the number of threads."""
    done = subprocess.run([str(path.resolve()), str(threads)], capture_output=True, text=True, check=True)
    return done.stdout


def parse(text: str) -> dict[str, float]:
    """GFLOP/s by the names of our cases.

    >>> parse("float32 H8 D64 S1024 full: 437 GFLOP/s, largest error 1.0e-06")
    {'f32 B1 H8 D64 S1024 full': 437.0}
    """
    found = {}
    for dtype, heads, head_dim, length, mask, rate in LINE.findall(text):
        count = int(heads)
        case = square(
            {"float32": "f32"}.get(dtype, dtype), int(head_dim), int(length), mask, heads=count, key_heads=count
        )
        found[case.name] = float(rate)
    return found


def add(rows: list[dict[str, Any]], outputs: list[str]) -> None:
    """Puts the program's figures, one a run, beside ours."""
    runs = [parse(text) for text in outputs]
    for row in rows:
        rates = [cells[row["name"]] for cells in runs if row["name"] in cells]
        if not rates:
            continue
        row["yardstick"] = figure(rates).as_json()
        ours = row["results"].get("flashc", {}).get("warm")
        if ours:
            row["yardstick"]["ratio"] = ours["median"] / row["yardstick"]["median"]
