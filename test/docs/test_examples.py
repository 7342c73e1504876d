"""Every example of the generated reference and of docs/ runs: IR parses, passes do what they are shown to do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from examples import PassExample, blocks, pass_examples, shows

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = Path(os.environ.get("FLASHC_BUILD_DIR", ROOT / "build"))
REFERENCE = BUILD / "docs/reference"
PASSES = {
    name: example
    for page in ("Passes.md", "TaskPasses.md", "ScanPasses.md")
    for name, example in pass_examples(REFERENCE / page).items()
}
PAGES = [REFERENCE / "Attention.md", REFERENCE / "Tile.md", *sorted((ROOT / "docs").glob("*.md"))]
IR = [(page, block) for page in PAGES for block in blocks(page) if block.language == "mlir"]


def run(text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [BUILD / "bin/flash-opt", "-", "--allow-unregistered-dialect", *arguments]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)


def flash_opt(text: str, *arguments: str) -> str:
    done = run(text, *arguments)
    assert done.returncode == 0, f"flash-opt {' '.join(arguments)}\n{text}\n{done.stderr}"
    return done.stdout


def complete(fragment: str) -> str:
    """A function around an example that shows operations alone: its free values get the types that it gives them."""
    if re.search(r"^\s*(func\.func|module)", fragment, re.MULTILINE):
        return fragment
    values: dict[str, str] = {}
    while True:
        given = "".join(f'  {name} = "example.value"() : () -> {type_}\n' for name, type_ in values.items())
        text = f"func.func @example() {{\n{given}{fragment}  return\n}}\n"
        done = run(text)
        # Each round names one value that is missing, or tells the type that one of them has.
        line = done.stderr.splitlines()
        if missing := re.search(r":(\d+):(\d+): error: use of undeclared SSA value", done.stderr):
            at = text.splitlines()[int(missing[1]) - 1][int(missing[2]) - 1 :]
            values[re.match(r"%[\w$.-]+", at)[0]] = "none"
        elif line and (wrong := re.search(r"use of value '(%[\w$.-]+)' expects .*: '(.*)' vs 'none'", line[0])):
            values[wrong[1]] = wrong[2]
        else:
            return text


@pytest.mark.parametrize("page, block", IR, ids=[f"{page.name}:{block.line}" for page, block in IR])
def test_ir_parses(page, block):
    printed = flash_opt(complete(block.text))
    assert flash_opt(printed) == printed


@pytest.mark.parametrize("flag", PASSES)
def test_pass_has_an_example(flag):
    assert PASSES[flag], f"--{flag} shows no Before/After pair in its description"


@pytest.mark.parametrize("example", [e for found in PASSES.values() for e in found], ids=lambda e: e.flag)
def test_pass_does_what_its_example_shows(example: PassExample):
    printed = flash_opt(example.before, example.argument)
    assert shows(example.after, printed), f"{example.argument} prints\n{printed}\nwhich does not show\n{example.after}"


def test_pages_show_what_is_printed_now():
    command = [sys.executable, ROOT / "docs/generate.py", "--check", "--build", BUILD]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


def test_shows():
    printed = "func.func @f(%arg0: index) {\n  %0 = arith.addi %arg0, %arg0 : index\n  return\n}"
    assert shows("%y = arith.addi %x, %x : index", printed)
    assert shows("func.func @f(%x: index) {\n ...\n return", printed)
    assert not shows("%y = arith.addi %y, %x : index", printed)
    assert not shows("func.func @f(%x: index) {\n return", printed)
    assert not shows("%y = arith.addi %x, %x : ind", printed)
