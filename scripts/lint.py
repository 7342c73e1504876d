"""Checks the tree's form: clang-format, ruff, mypy, clang-tidy, and the words and sizes that style asks for."""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAX_LINES = 600
CODE = ("*.cpp", "*.h", "*.c", "*.td", "*.py", "*.pyi", "*.mlir", "*.cmake", "CMakeLists.txt")
UNITS_WITHOUT_LLVM = ("runtime/", "bench/", "tools/flash-run/", "test/runtime/")
# Words that promise instead of doing.
PROMISES = re.compile(r"\b(TODO|FIXME|XXX|not (yet )?implemented|unimplemented|for now|stubbed)\b", re.IGNORECASE)


def tracked(*patterns: str) -> list[str]:
    """Paths, relative to the root, of our own tracked files that exist and match."""
    output = subprocess.run(
        ["git", "ls-files", "--", *patterns, ":!*third_party/*"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [line for line in output.stdout.splitlines() if (ROOT / line).is_file()]


def tool(arguments: list[str]) -> str:
    """Runs a checker; returns its output when it complains, else nothing."""
    done = subprocess.run(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.stdout or f"exit {done.returncode}" if done.returncode else ""


def check_clang_format(build: Path) -> str:
    files = tracked("*.cpp", "*.h", "*.c")
    return tool(["clang-format-19", "--dry-run", "-Werror", *files]) if files else ""


def check_ruff(build: Path) -> str:
    return tool([sys.executable, "-m", "ruff", "check", "."])


def check_ruff_format(build: Path) -> str:
    return tool([sys.executable, "-m", "ruff", "format", "--check", "."])


def check_mypy(build: Path) -> str:
    package = ROOT / "python/flashc"
    return tool([sys.executable, "-m", "mypy", str(package)]) if package.is_dir() else ""


def check_words(build: Path) -> str:
    found = []
    for path in tracked(*CODE):
        if path == "scripts/lint.py":
            continue
        for number, line in enumerate((ROOT / path).read_text().splitlines(), 1):
            if PROMISES.search(line):
                found.append(f"{path}:{number}: {line.strip()}")
    return "\n".join(found)


def check_sizes(build: Path) -> str:
    found = []
    for path in tracked(*CODE):
        if path.startswith("test/") and path.endswith(".mlir"):
            continue
        lines = len((ROOT / path).read_text().splitlines())
        if lines > MAX_LINES:
            found.append(f"{path}: {lines} lines, more than {MAX_LINES}: split it along a concept")
    return "\n".join(found)


def check_clang_tidy(build: Path) -> str:
    """clang-tidy over the units that include none of LLVM's headers, which take a second each and not ten."""
    return tidy(build, UNITS_WITHOUT_LLVM)


def check_clang_tidy_all(build: Path) -> str:
    return tidy(build, ("",))


def tidy(build: Path, folders: tuple[str, ...]) -> str:
    """clang-tidy over the translation units below `folders`; one that was clean and has not changed since is skipped."""
    database = build / "compile_commands.json"
    if not database.exists():
        return f"{database} is missing: configure first"
    ours = {str(ROOT / path) for path in tracked("*.cpp", "*.c") if path.startswith(folders)}
    units = sorted({entry["file"] for entry in json.loads(database.read_text())} & ours)
    headers = [ROOT / path for path in tracked("*.h", "*.td", ".clang-tidy")]
    newest = max((path.stat().st_mtime for path in headers), default=0.0)
    stamps = build / "clang-tidy"
    stamps.mkdir(exist_ok=True)

    def check(unit: str) -> str:
        stamp = stamps / Path(unit).relative_to(ROOT).as_posix().replace("/", "__")
        if stamp.exists() and stamp.stat().st_mtime > max(newest, Path(unit).stat().st_mtime):
            return ""
        complaint = tool(["clang-tidy-19", "--quiet", "-p", str(build), unit])
        if not complaint:
            stamp.touch()
        return complaint

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return "\n".join(filter(None, pool.map(check, units)))


CHECKS: dict[str, Callable[[Path], str]] = {
    "clang-format": check_clang_format,
    "ruff": check_ruff,
    "ruff-format": check_ruff_format,
    "mypy": check_mypy,
    "words": check_words,
    "sizes": check_sizes,
    "clang-tidy": check_clang_tidy,
    "clang-tidy-all": check_clang_tidy_all,
}
# What a run without `--only` does.
DEFAULT = [name for name in CHECKS if name != "clang-tidy-all"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, default=ROOT / "build")
    parser.add_argument("--only", default=",".join(DEFAULT), help=f"checks, of {','.join(CHECKS)}")
    parser.add_argument("--junit", type=Path, help="write a JUnit report here")
    options = parser.parse_args()

    suite = ET.Element("testsuite", name="lint")
    failed = False
    for name in options.only.split(","):
        complaint = CHECKS[name](options.build.resolve())
        case = ET.SubElement(suite, "testcase", name=name)
        print(f"{name:13} {'FAILED' if complaint else 'ok'}", flush=True)
        if complaint:
            failed = True
            print(complaint)
            # Control characters of a tool's output are no legal XML.
            ET.SubElement(case, "failure").text = re.sub(r"[^\t\n\r\x20-\uffff]", "", complaint)
    if options.junit:
        ET.ElementTree(suite).write(options.junit)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
