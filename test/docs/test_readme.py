"""Runs the README, docs/tuning.md and docs/gpu.md as a reader would: each section with commands in an empty folder of its
own, its blocks in order.

A block that begins with a comment naming a file (`// attention.mlir`, `/* main.c */`, `# attend.py`) becomes that file;
`sh` and `python` blocks run; a `text` block after one is what it must print, where `...` stands for anything, and after a line
that ends in "like:" each number for any. `console` blocks (the two commands of the project, what needs a GPU) are not run: one
of them runs this test.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from examples import Block, blocks

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = Path(os.environ.get("FLASHC_BUILD_DIR", ROOT / "build"))
FILE = re.compile(r"^(?://|/\*|#) ([\w.-]+\.\w+)(?: \*/)?$")


PAGES = ("README.md", "docs/tuning.md", "docs/gpu.md")


def sections() -> dict[str, list[Block]]:
    """The blocks of each section that holds something to run, by page and title."""
    found: dict[str, list[Block]] = {}
    for page in PAGES:
        title = page
        for block in blocks(ROOT / page):
            for heading in re.findall(r"^#+ (.*)$", block.lead, re.MULTILINE):
                title = f"{page}: {heading}"
            found.setdefault(title, []).append(block)
    return {title: part for title, part in found.items() if {block.language for block in part} & {"sh", "python"}}


def pattern(block: Block) -> str:
    """What a `text` block promises, as a regular expression."""
    wanted = [re.escape(piece.strip()) for piece in block.text.split("...")]
    if block.lead.rstrip().endswith("like:"):
        wanted = [re.sub(r"\d+(?:\\\.\d+)?", lambda _: r"[\d.]+", piece) for piece in wanted]
    return r"[\s\S]*?".join(wanted)


def run(command: list[str], folder: Path) -> str:
    environment = dict(os.environ, PYTHONPATH=str(BUILD / "python"), FLASHC_CACHE_DIR=str(folder / "cache"))
    llvm = subprocess.run(["llvm-config-19", "--bindir"], capture_output=True, text=True, check=True).stdout.strip()
    environment["PATH"] = os.pathsep.join(
        [str(BUILD / "bin"), str(Path(sys.executable).parent), llvm, environment["PATH"]]
    )
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300
    )
    assert done.returncode == 0, f"{command[-1]}\n{done.stdout}"
    return done.stdout


@pytest.mark.parametrize("title", sections())
def test_section_works_as_printed(title: str, tmp_path: Path) -> None:
    printed = ""
    for block in sections()[title]:
        named = FILE.match(block.text.split("\n", 1)[0])
        if named:
            (tmp_path / named[1]).write_text(block.text)
        elif block.language == "sh":
            printed = run(["bash", "-euo", "pipefail", "-c", block.text], tmp_path)
        elif block.language == "python":
            printed = run([sys.executable, "-c", block.text], tmp_path)
        elif block.language == "text":
            assert re.search(pattern(block), printed), (
                f"{title}, line {block.line}, promises\n{block.text}\nbut it is\n{printed}"
            )


def test_the_readme_shows_four_uses() -> None:
    assert sum(title.startswith("README.md") for title in sections()) >= 4
