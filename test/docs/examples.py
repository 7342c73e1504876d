"""Finds the examples of a Markdown page, and matches printed IR against an example written for a reader."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass
class Block:
    """A fenced block: its language, text and line, and the text of the page between it and the block before."""

    language: str
    text: str
    line: int
    lead: str = field(repr=False)


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order."""
    text = page.read_text()
    found, end = [], 0
    for match in FENCE.finditer(text):
        found.append(Block(match[1], match[2], text.count("\n", 0, match.start()) + 1, text[end : match.start()]))
        end = match.end()
    return found


@dataclass
class PassExample:
    """A pass's before/after pair: `pipeline` is what flash-opt is asked for."""

    flag: str
    options: str
    before: str
    after: str

    @property
    def argument(self) -> str:
        return f"--{self.flag}" + (f"={self.options}" if self.options else "")


def pass_examples(page: Path) -> dict[str, list[PassExample]]:
    """For each pass of the generated page its examples; an empty list for a pass that has none.

    An example is a block led by `Before:` and the next one, led by `After:`. Options of the pass stand in backticks:
    Before, with `rows=24 keys=512`:
    """
    examples: dict[str, list[PassExample]] = {
        flag: [] for flag in re.findall(r"^### `-([\w-]+)`", page.read_text(), re.M)
    }
    flag, before, options = "", None, ""
    for block in blocks(page):
        for heading in re.findall(r"^### `-([\w-]+)`", block.lead, re.M):
            flag = heading
        leads = re.findall(r"^(Before|After)(?:[^\n`]*`([^`]*)`)?[^\n]*:\s*$", block.lead, re.M)
        if block.language != "mlir" or not leads:
            continue
        word, given = leads[-1]
        if word == "Before":
            before, options = block.text, given
        elif before is not None:
            examples[flag].append(PassExample(flag, options, before, block.text))
            before = None
    return examples


TOKEN = re.compile(r"\.\.\.|%[\w$.-]+(?:#\d+)?|#map\d*|->|[\w.$-]+|[^\s\w]")


def tokens(ir: str) -> list[str]:
    """The tokens of IR without comments; white space does not matter."""
    return TOKEN.findall(re.sub(r"//[^\n]*", "", ir))


def shows(example: str, printed: str) -> bool:
    """Whether printed IR holds what `example` shows a reader.

    `...` stands for anything; the tokens between two of them follow each other. SSA names and #map aliases may differ
    as long as one name of a function of the example stands for one name of the printed IR.
    """
    named: dict[str, str] = {}
    parts: list[str] = []
    for number, token in enumerate(tokens(example)):
        if token == "func.func":
            named = {name: group for name, group in named.items() if name[0] == "#"}
        if token == "...":
            parts.append(r"(?: \S+)*?")
        elif token in named:
            parts.append(f" (?P={named[token]})")
        elif token.startswith(("%", "#map")):
            named[token] = f"n{number}"
            parts.append(rf" (?P<{named[token]}>[%#][\w$.-]+(?:#\d+)?)")
        else:
            parts.append(" " + re.escape(token))
    return re.search("".join(parts) + r"(?= |$)", " " + " ".join(tokens(printed))) is not None
