"""Every row of docs/gpu.md's tables of what is slower and of what is refused names the tests that show it."""

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("compiler", "emulator", "execution", "python", "runtime", "targets")


@cache
def known_tests() -> list[str]:
    """What tests are called: their definitions in the sources, GoogleTest's as Suite.Name, and the names of files."""
    names = []
    for folder in FOLDERS:
        for path in (ROOT / "test" / folder).iterdir():
            names.append(path.name)
            if path.suffix == ".py":
                names += re.findall(r"^def ((?:test|case)_\w+)", path.read_text(), re.MULTILINE)
            if path.suffix == ".cpp":
                found = re.findall(r"^TEST(?:_F|_P)?\((\w+), (\w+)\)", path.read_text(), re.MULTILINE)
                names += [f"{suite}.{name}" for suite, name in found]
    return names


def rows(heading: str) -> list[list[str]]:
    text = (ROOT / "docs" / "gpu.md").read_text()
    section = text[text.index(f"## {heading}") :].split("\n## ", 2)[0]
    table = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table[2:]]


@pytest.mark.parametrize("heading", ("What runs slower than it could", "What is refused"))
def test_every_row_has_a_test(heading):
    table = rows(heading)
    assert len(table) >= 8
    for row in table:
        named = re.findall(r"`([^`]+)`", row[-1])
        assert named, row
        for name in named:
            assert name in known_tests(), f"{name} of '{row[0]}' is no test"
