"""Keeps the IR in docs/architecture.md what the tools print.

In a page of docs/, a block after `<!-- flash-opt FLAGS -->` is what flash-opt prints for docs/example.mlir; with
`<!-- flash-opt FLAGS; from REGEX, N lines -->` it is N lines of that, beginning at the first that matches. `--check` changes
nothing and fails when a block is not what is printed now, but for the numbers of SSA values.
"""

from __future__ import annotations

import argparse
import difflib
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "docs/example.mlir"
BLOCK = re.compile(
    r"(?P<marker><!-- flash-opt (?P<flags>[^;\n]*?)(?:; from (?P<start>.+?), (?P<lines>\d+) lines)? -->\n)"
    r"(?:\n?```\w*\n.*?^```\n)?",
    re.MULTILINE | re.DOTALL,
)


def flash_opt(build: Path, flags: str) -> str:
    command = [str(build / "bin/flash-opt"), str(EXAMPLE), *shlex.split(flags)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout


def readable(ir: str) -> list[str]:
    """The lines of printed IR without the module around it."""
    lines = ir.rstrip().splitlines()
    if lines and lines[0] == "module {" and lines[-1] == "}":
        lines = textwrap.dedent("\n".join(lines[1:-1])).splitlines()
    return lines


def fill(page: str, build: Path) -> str:
    """The page with every marked block replaced by what flash-opt prints now."""

    def block(match: re.Match[str]) -> str:
        lines = readable(flash_opt(build, match["flags"]))
        language = "mlir"
        if match["start"]:
            first = next((n for n, line in enumerate(lines) if re.search(match["start"], line)), None)
            if first is None:
                raise SystemExit(f"{match['marker'].strip()}: no line matches")
            part = textwrap.dedent("\n".join(lines[first : first + int(match["lines"])])).splitlines()
            lines, language = part, "text"
        return f"{match['marker']}```{language}\n" + "".join(f"{line}\n" for line in lines) + "```\n"

    return BLOCK.sub(block, page)


def anonymous(page: str) -> str:
    """The page with SSA values numbered in the order in which each block names them."""
    names: dict[str, str] = {}

    def number(match: re.Match[str]) -> str:
        if match[0] == "```":
            names.clear()
            return match[0]
        return names.setdefault(match[0], f"%{len(names)}")

    return re.sub(r"```|%\w+", number, page)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT / "build")
    parser.add_argument("--check", action="store_true", help="change nothing; fail when a block is out of date")
    options = parser.parse_args()

    status = 0
    for path in sorted((ROOT / "docs").glob("*.md")):
        old = path.read_text()
        new = fill(old, options.build.resolve())
        if new == old or (options.check and anonymous(new) == anonymous(old)):
            continue
        if options.check:
            status = 1
            print(f"{path.relative_to(ROOT)} is out of date; run make docs", file=sys.stderr)
            sys.stderr.writelines(difflib.unified_diff(old.splitlines(True), new.splitlines(True), "is", "should be"))
        else:
            path.write_text(new)
            print(f"updated {path.relative_to(ROOT)}")
    return status


if __name__ == "__main__":
    sys.exit(main())
