"""Every example of the generated reference and of docs/ runs: IR parses, passes do what they are shown to do."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from examples import PassExample, blocks, pass_examples, shows

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = Path(os.environ.get("FLASHC_BUILD_DIR", ROOT / "build"))
REFERENCE = BUILD / "docs/reference"
PASSES = pass_examples(REFERENCE / "Passes.md")
PAGES = [REFERENCE / "Attention.md", REFERENCE / "Tile.md", *sorted((ROOT / "docs").glob("*.md"))]
IR = [(page, block) for page in PAGES for block in blocks(page) if block.language == "mlir"]


def flash_opt(text: str, *arguments: str) -> str:
    command = [BUILD / "bin/flash-opt", "-", *arguments]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{text}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("page, block", IR, ids=[f"{page.name}:{block.line}" for page, block in IR])
def test_ir_parses(page, block):
    printed = flash_opt(block.text)
    assert flash_opt(printed) == printed


@pytest.mark.parametrize("flag", PASSES)
def test_pass_has_an_example(flag):
    assert PASSES[flag], f"--{flag} shows no Before/After pair in its description"


@pytest.mark.parametrize("example", [e for found in PASSES.values() for e in found], ids=lambda e: e.flag)
def test_pass_does_what_its_example_shows(example: PassExample):
    printed = flash_opt(example.before, example.argument)
    assert shows(example.after, printed), f"{example.argument} prints\n{printed}\nwhich does not show\n{example.after}"


def test_shows():
    printed = "func.func @f(%arg0: index) {\n  %0 = arith.addi %arg0, %arg0 : index\n  return\n}"
    assert shows("%y = arith.addi %x, %x : index", printed)
    assert shows("func.func @f(%x: index) {\n ...\n return", printed)
    assert not shows("%y = arith.addi %y, %x : index", printed)
    assert not shows("func.func @f(%x: index) {\n return", printed)
    assert not shows("%y = arith.addi %x, %x : ind", printed)
