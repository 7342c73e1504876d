#!/usr/bin/env python3
"""Raises and compiles exported graphs, and compares with what their frameworks answer.

For each graph (all of scripts/export_graphs.py, or those named): the number of attentions that `flash-opt
--raise-to-attention` raises, and the largest absolute difference of the compiled module's results. Ends with exit code 1
if one is not raised or differs by more than the tolerance. Needs scripts/requirements-graphs.txt, a build with the Python
package, and the package on the path (PYTHONPATH=build/python, or an installed flashc).
"""

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from export_graphs import GRAPHS, Graph, export

ROOT = Path(__file__).resolve().parent.parent


def count_raised(tool: str, text: str) -> int:
    """How many attentions are raised in a module."""
    command = [tool, "--raise-to-attention"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{tool} failed:\n{done.stderr[:2000]}")
    return done.stdout.count("attn.sdpa ")


def largest_difference(graph: Graph) -> tuple[float, float, float]:
    """The largest absolute difference over all results, and the seconds that compiling and the second call took."""
    import flashc

    start = time.perf_counter()
    function = flashc.compile_module(graph.text).function("main")
    compiled = time.perf_counter()
    results = function(*graph.arguments)
    begin = time.perf_counter()
    results = function(*graph.arguments)
    end = time.perf_counter()
    results = results if isinstance(results, tuple | list) else (results,)
    if len(results) != len(graph.results):
        raise RuntimeError(f"expected {len(graph.results)} results, got {len(results)}")
    worst = 0.0
    for got, expected in zip(results, graph.results):
        got = np.asarray(got)
        if got.shape != expected.shape:
            raise RuntimeError(f"expected a result of shape {expected.shape}, got {got.shape}")
        if not np.array_equal(np.isnan(got), np.isnan(expected)):
            return float("inf"), compiled - start, end - begin
        worst = max(worst, float(np.max(np.abs(np.nan_to_num(got) - np.nan_to_num(expected)), initial=0.0)))
    return worst, compiled - start, end - begin


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="graphs to check (default: all)")
    parser.add_argument("--small", action="store_true", help="the smallest form of each graph")
    parser.add_argument("--flash-opt", default=None, help="the tool (default: build/bin/flash-opt, else on the PATH)")
    parser.add_argument("--raise-only", action="store_true", help="only count what is raised")
    parser.add_argument("--tolerance", type=float, default=1e-4, help="largest absolute difference (default: 1e-4)")
    options = parser.parse_args()
    built = ROOT / "build" / "bin" / "flash-opt"
    tool = options.flash_opt or (str(built) if built.exists() else shutil.which("flash-opt"))
    if tool is None:
        parser.error("flash-opt was not found: build it, or give --flash-opt")

    failures = 0
    for name in options.names or GRAPHS:
        graph = export(name, options.small)
        line = f"{name:18}"
        try:
            raised = count_raised(tool, graph.text)
            good = raised == graph.attentions
            line += f" {raised} of {graph.attentions} raised"
            if not options.raise_only:
                difference, compile_seconds, call_seconds = largest_difference(graph)
                good &= difference <= options.tolerance
                line += f", largest difference {difference:.1e}, compiled in {compile_seconds:.1f} s"
                line += f", a call takes {call_seconds * 1e3:.2f} ms"
        except (RuntimeError, ValueError, TypeError) as error:
            good = False
            line += f" {type(error).__name__}: {error}"
        failures += not good
        print(line + ("" if good else "   <-- WRONG"), flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
