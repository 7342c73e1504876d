"""python -m flashc.bench: flashc beside its peers and beside the machine's limit.

Every peer runs in a process of its own on inputs from the same seed; the processes take turns in alternating rounds. A
result is held against the definition in float64 before it is timed. The limits are measured before and after.

  python -m flashc.bench --install-peers                the peers, into an environment of their own
  python -m flashc.bench                                the main cells, some minutes
  python -m flashc.bench --subset sweep --cases "bf16 D128 causal, decode"
  python -m flashc.bench --from bench.json --markdown docs/performance.md --plots docs
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shlex
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from . import cases, compiling, install, limits, machine, measure, plots, report, yardstick
from .peers import PEERS


def arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m flashc.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_argument_group("what is measured")
    what.add_argument("--subset", choices=sorted(cases.SUBSETS), default="main")
    what.add_argument(
        "--cases",
        default="",
        metavar="PATTERN",
        help='words of a case\'s name, alternatives parted by commas: "f32 D64, decode"',
    )
    what.add_argument("--peers", default=",".join(PEERS), help="parted by commas: %(default)s")
    what.add_argument("--list", action="store_true", help="print the cases' names and measure nothing")
    what.add_argument("--yardstick", type=Path, help="a program to run beside, with the number of threads as argument")
    what.add_argument(
        "--no-cold", action="store_true", help="leave out the rounds in which caches are flushed before each call"
    )
    how = parser.add_argument_group("how")
    how.add_argument("--threads", type=int, default=0, help="all of the CPUs by default")
    how.add_argument("--rounds", type=int, default=7, help="alternating rounds a case: %(default)s")
    how.add_argument(
        "--budget", type=float, default=0.1, help="seconds of a peer in each round, a call at least: %(default)s"
    )
    how.add_argument(
        "--time-budget", type=float, default=float("inf"), metavar="MINUTES", help="cases past it are left out"
    )
    how.add_argument(
        "--cpu-time", action="store_true", help="CPU time over the threads instead of wall time: for shared machines"
    )
    how.add_argument("--tune", type=float, default=0.0, metavar="SECONDS", help="tune flashc for each case first")
    how.add_argument(
        "--peers-env", type=Path, default=install.default_environment(), help="the peers' environment: %(default)s"
    )
    how.add_argument("--install-peers", action="store_true", help="install the peers into --peers-env, and stop")
    where = parser.add_argument_group("where the figures go")
    where.add_argument("--json", type=Path, default=Path("bench.json"), help="%(default)s")
    where.add_argument("--plots", type=Path, metavar="FOLDER", help="bench-share.svg and bench-ratio.svg")
    where.add_argument(
        "--markdown", type=Path, metavar="FILE", help="a table, between the marks of a page that has them"
    )
    where.add_argument(
        "--from",
        dest="source",
        type=Path,
        nargs="+",
        metavar="JSON",
        help="report these figures, of several runs as one; measure nothing",
    )
    options = parser.parse_args(argv)
    options.threads = options.threads or len(os.sched_getaffinity(0))
    options.peers = [name.strip() for name in options.peers.split(",") if name.strip()]
    for name in options.peers:
        if name not in PEERS:
            parser.error(f"--peers: expected some of {', '.join(PEERS)}, got {name!r}")
    if options.rounds < 1 or options.threads < 1:
        parser.error("--rounds and --threads: expected at least 1")
    return options


def measure_all(options: argparse.Namespace, chosen: list[cases.Case]) -> dict[str, Any]:
    """The figures of a run. They are saved after each case, so that a run which is cut off leaves what it measured."""
    start = time.monotonic()
    facts = machine.describe(options.threads)
    limit_runs = [limits.measure(options.threads, options.cpu_time)]
    beside = [yardstick.run(options.yardstick, options.threads)] if options.yardstick else []
    run = measure.Run(
        measure.Options(
            threads=options.threads,
            rounds=options.rounds,
            budget=options.budget,
            cold=not options.no_cold,
            cpu_time=options.cpu_time,
            tune=options.tune,
            flush_bytes=machine.flush_size(),
            peers_environment=options.peers_env,
        ),
        options.peers,
        lambda text: print(text, file=sys.stderr, flush=True),
    )
    rows: list[dict[str, Any]] = []

    def figures() -> dict[str, Any]:
        best = limits.best(limit_runs)
        for row in rows:
            measure.conclude(row, best, options.threads)
        yardstick.add(rows, beside)
        return {
            "schema": 1,
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "command": shlex.join(["python", "-m", "flashc.bench", *sys.argv[1:]]),
            "machine": facts,
            "cpu_time": options.cpu_time,
            "tune": options.tune,
            "rounds": options.rounds,
            "budget": options.budget,
            "limits": best,
            "limit_runs": limit_runs,
            "peers": {
                name: {"absent": run.absent[name]} if name in run.absent else {"versions": run.versions.get(name, {})}
                for name in options.peers
            },
            "idle_cpu_share": run.idle_share(),
            "cases": rows,
            "left_out": [case.name for case in chosen[len(rows) :]],
            "yardstick": beside,
        }

    try:
        for number, case in enumerate(chosen, 1):
            if time.monotonic() - start > options.time_budget * 60:
                break
            rows.append(run.case(case))
            save(options.json, figures())
            print(progress(number, len(chosen), rows[-1]), file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print("interrupted: what follows is of the cases before", file=sys.stderr, flush=True)
    finally:
        run.close()
    limit_runs.append(limits.measure(options.threads, options.cpu_time))
    if options.yardstick:
        beside.append(yardstick.run(options.yardstick, options.threads))
    return figures() | {"compile": compiling.compile_times(3)}


def save(path: Path, figures: dict[str, Any]) -> None:
    """Writes the figures to `path`, which at no time holds a part of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".json", delete=False) as file:
        json.dump(figures, file, indent=1)
        file.write("\n")
    os.replace(file.name, path)


def progress(number: int, count: int, row: dict[str, Any]) -> str:
    found = []
    for name, note in row["results"].items():
        found.append(f"{name} {report.cell(note)}")
    return f"[{number}/{count}] {row['name']}: {', '.join(found)} {report.UNITS[row['kind']]}"


def main(argv: list[str] | None = None) -> int:
    options = arguments(sys.argv[1:] if argv is None else argv)
    if options.install_peers:
        return install.install(options.peers_env)
    if options.source:
        try:
            figures = report.join([json.loads(source.read_text()) for source in options.source])
        except (OSError, ValueError, KeyError) as error:
            print(f"--from: {error}", file=sys.stderr)
            return 1
    else:
        chosen = cases.select(options.subset, options.cases)
        if options.list:
            print("\n".join(case.name for case in chosen))
            return 0
        if not chosen:
            print(f"no case matches {options.cases!r}; --list names them", file=sys.stderr)
            return 1
        # A shell that starts a program in the background has it ignore interrupts; it is to end with its figures all the same.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        figures = measure_all(options, chosen)
        save(options.json, figures)
    report.show(figures)
    if not options.source:
        print(f"figures: {options.json}")
    if options.markdown:
        report.write_markdown(options.markdown, figures)
    if options.plots:
        for path in plots.plot(figures, options.plots):
            print(f"plot: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
