"""Runs every test runner of the project and sums what they ran.

Order: lint (fails fast), GoogleTest through ctest, the IR tests through lit, execution and Python through pytest.
The last line is `N passed, N failed, N skipped` over all of them. The exit status is not 0 when a test failed, when a
runner failed, or when one ran no test at all.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUNNERS = ("lint", "ctest", "lit", "pytest")


@dataclass
class Result:
    """What one runner did: counts of tests, its exit status, and its wall time in seconds."""

    runner: str
    passed: int
    failed: int
    skipped: int
    status: int
    seconds: float

    @property
    def ok(self) -> bool:
        return self.status == 0 and self.failed == 0 and self.passed > 0


def count(report: Path) -> tuple[int, int, int]:
    """Counts (passed, failed, skipped) test cases of a JUnit report; a report that was not written counts nothing."""
    if not report.exists():
        return 0, 0, 0
    passed = failed = skipped = 0
    for case in ET.parse(report).iter("testcase"):
        tags = {child.tag for child in case}
        if tags & {"failure", "error"}:
            failed += 1
        elif "skipped" in tags or case.get("status") in ("notrun", "disabled"):
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped


def command(runner: str, build: Path, report: Path, jobs: int) -> list[str]:
    """The command line of a runner that writes a JUnit `report`."""
    python = sys.executable
    if runner == "lint":
        return [python, str(ROOT / "scripts/lint.py"), "--build", str(build), "--junit", str(report)]
    if runner == "ctest":
        # The ctest entry that stands for lit is left to lit itself, which reports each test.
        options = ["--output-on-failure", "--no-tests=error", "-LE", "lit", "-j", str(jobs)]
        return ["ctest", "--test-dir", str(build), "--output-junit", str(report), *options]
    if runner == "lit":
        lit = [python, "-c", "from lit.main import main; main()"]
        return [*lit, "-sv", f"-j{jobs}", "--xunit-xml-output", str(report), str(build / "test")]
    folders = (ROOT / "test/docs", ROOT / "test/python", ROOT / "test/execution")
    paths = [str(path) for path in folders if path.is_dir()]
    return [python, "-m", "pytest", "-q", "--durations=10", f"--junitxml={report}", *paths]


def run(runner: str, build: Path, jobs: int) -> Result:
    reports = build / "reports"
    reports.mkdir(parents=True, exist_ok=True)
    report = reports / f"{runner}.xml"
    report.unlink(missing_ok=True)
    print(f"== {runner}", flush=True)
    start = time.monotonic()
    environment = dict(os.environ, FLASHC_BUILD_DIR=str(build), PYTHONPATH=str(build / "python"))
    environment["PATH"] = f"{build / 'bin'}:{Path(sys.executable).parent}:{environment['PATH']}"
    status = subprocess.run(command(runner, build, report, jobs), cwd=ROOT, env=environment, check=False).returncode
    return Result(runner, *count(report), status, time.monotonic() - start)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=ROOT / "build", help="the build folder")
    parser.add_argument("--only", default=",".join(RUNNERS), help=f"runners, of {','.join(RUNNERS)}")
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    chosen = options.only.split(",")
    if unknown := set(chosen) - set(RUNNERS):
        parser.error(f"unknown runner {sorted(unknown)}; there are {','.join(RUNNERS)}")

    results = [run(runner, options.build.resolve(), options.jobs) for runner in RUNNERS if runner in chosen]
    print()
    for r in results:
        note = "" if r.ok else f"   FAILED (exit {r.status})" if r.passed or r.failed else "   FAILED (ran no test)"
        print(f"{r.runner:8} {r.passed:5} ok {r.failed:3} bad {r.skipped:3} skipped {r.seconds:7.1f} s{note}")
    # A runner that failed without naming a test still counts as one failure.
    failed = sum(max(r.failed, 0 if r.ok else 1) for r in results)
    print(f"{sum(r.passed for r in results)} passed, {failed} failed, {sum(r.skipped for r in results)} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
