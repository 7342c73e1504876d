"""Keeps the IR in the pages of docs/ what the tools print.

In a page, a block after `<!-- flash-opt FLAGS -->` is what flash-opt prints for docs/example.mlir; one after
`<!-- flash-compile FLAGS; stage NAME -->` is the kernel that flash-compile makes of FLAGS, at a stage as --explain names them.
With `; from REGEX, N lines` behind it, it is N lines of that, beginning at the first that matches; the middle of a
kernel's long lines is left out. `--check` changes nothing
and fails when a block is not what is printed now, but for the numbers of SSA values, and of a kernel for any number.
"""

from __future__ import annotations

import argparse
import difflib
import functools
import re
import shlex
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "docs/example.mlir"
BLOCK = re.compile(
    r"(?P<marker><!-- (?P<tool>flash-opt|flash-compile) (?P<flags>[^;\n]*?)(?:; stage (?P<stage>[\w-]+))?"
    r"(?:; from (?P<start>.+?), (?P<lines>\d+) lines)? -->\n)"
    r"(?:\n?```\w*\n.*?^```\n)?",
    re.MULTILINE | re.DOTALL,
)


def flash_opt(build: Path, flags: str) -> str:
    command = [str(build / "bin/flash-opt"), str(EXAMPLE), *shlex.split(flags)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout


@functools.cache
def stages(build: Path, flags: str) -> dict[str, str]:
    """A kernel at each stage of the compiler."""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "stages.txt"
        command = [str(build / "bin/flash-compile"), *shlex.split(flags), "--explain", str(page)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
        text = page.read_text()
    parts = re.split(r"^//===----- ([\w-]+): .* -----===//$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def printed(build: Path, match: re.Match[str]) -> str:
    if match["tool"] == "flash-opt":
        return flash_opt(build, match["flags"])
    found = stages(build, match["flags"])
    if match["stage"] not in found:
        raise SystemExit(f"{match['marker'].strip()}: no such stage; expected one of {', '.join(found)}")
    return found[match["stage"]].strip() + "\n"


def readable(ir: str) -> list[str]:
    """The lines of printed IR without the module around it."""
    lines = ir.rstrip().splitlines()
    if lines and lines[0] == "module {" and lines[-1] == "}":
        lines = textwrap.dedent("\n".join(lines[1:-1])).splitlines()
    return lines


def shortened(line: str) -> str:
    """The first and the last words of a long line: an instruction of a matrix unit names a hundred registers."""
    first, last = 9, 4
    words = line.split(" ")
    return line if len(words) <= first + last + 6 else " ".join([*words[:first], "...", *words[-last:]])


def fill(page: str, build: Path) -> str:
    """The page with every marked block replaced by what its tool prints now."""

    def block(match: re.Match[str]) -> str:
        lines = readable(printed(build, match))
        language = "mlir"
        if match["start"]:
            first = next((n for n, line in enumerate(lines) if re.search(match["start"], line)), None)
            if first is None:
                raise SystemExit(f"{match['marker'].strip()}: no line matches")
            part = textwrap.dedent("\n".join(lines[first : first + int(match["lines"])])).splitlines()
            lines, language = [shortened(line) if match["stage"] else line for line in part], "text"
        return f"{match['marker']}```{language}\n" + "".join(f"{line}\n" for line in lines) + "```\n"

    return BLOCK.sub(block, page)


def anonymous(page: str) -> str:
    """The page with SSA values numbered in the order in which each block names them; of a whole kernel no number matters, as
    registers and addresses are the code generator's."""
    names: dict[str, str] = {}

    def number(match: re.Match[str]) -> str:
        if match[0] == "```":
            names.clear()
            return match[0]
        return names.setdefault(match[0], f"%{len(names)}")

    def block(match: re.Match[str]) -> str:
        whole = match["tool"] == "flash-compile"
        return match["marker"] + re.sub(r"\d+", "0", match[0][len(match["marker"]) :]) if whole else match[0]

    return re.sub(r"```|%\w+", number, BLOCK.sub(block, page))


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
