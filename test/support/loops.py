"""The loops of a kernel in PTX or AMD's assembly, found by its branches alone."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

#: A label of the code generators. Inline assembly's own, of waits, are within a block.
LABEL = re.compile(r"^(\$L__BB\w+|\.LBB\w+):")
FUNCTION = re.compile(r"^(?:\.visible \.entry |\s*\.type\s+(?=\w+,@function))(\w+)", re.MULTILINE)
JUMP = re.compile(r"^(@!?%\w+ )?(bra(?:\.uni)?|s_branch|s_cbranch_\w+)\s+(\$L__BB\w+|\.LBB\w+)")
END = re.compile(r"^(ret;|s_endpgm|s_setpc)")
PRODUCT = re.compile(r"^(wgmma\.mma_async|mma\.sync|v_mfma|v_wmma)")


class Graph:
    """The blocks of one function: their lines, and where each goes on."""

    def __init__(self, lines: Iterable[str]):
        self.blocks: list[list[str]] = [[]]
        names: dict[str, int] = {}
        jumps: dict[int, list[str]] = {0: []}
        ends: set[int] = set()
        begun = False  # whether the last block has ended

        def begin() -> int:
            self.blocks.append([])
            jumps[len(self.blocks) - 1] = []
            return len(self.blocks) - 1

        for line in map(str.strip, lines):
            if match := LABEL.match(line):
                names[match[1]] = begin()
                begun = False
                continue
            if begun:
                begin()
                begun = False
            self.blocks[-1].append(line)
            if match := JUMP.match(line):
                jumps[len(self.blocks) - 1].append(match[3])
                if match[2] == "s_branch" or (match[2].startswith("bra") and not match[1]):
                    ends.add(len(self.blocks) - 1)
                begun = True
            elif END.match(line):
                ends.add(len(self.blocks) - 1)
                begun = True
        self.successors = [
            {names[target] for target in jumps[i]} | (set() if i in ends or i + 1 == len(self.blocks) else {i + 1})
            for i in range(len(self.blocks))
        ]

    def loops(self) -> list[set[int]]:
        """The natural loops: what reaches a branch back to a block that dominates it. One a header, in order."""
        reached, waiting = {0}, [0]
        while waiting:
            for block in self.successors[waiting.pop()] - reached:
                reached.add(block)
                waiting.append(block)
        before: dict[int, set[int]] = {block: set() for block in reached}
        for block in reached:
            for successor in self.successors[block]:
                before[successor].add(block)
        dominators = {block: {0} if block == 0 else set(reached) for block in reached}
        changed = True
        while changed:
            changed = False
            for block in sorted(reached - {0}):
                known = set.intersection(*(dominators[other] for other in before[block])) | {block}
                changed |= known != dominators[block]
                dominators[block] = known
        found: dict[int, set[int]] = {}
        for block in reached:
            for header in self.successors[block] & dominators[block]:
                body, open_blocks = {header, block}, [block] if block != header else []
                while open_blocks:
                    more = before[open_blocks.pop()] - body
                    body |= more
                    open_blocks.extend(more)
                found.setdefault(header, set()).update(body)
        return [found[header] for header in sorted(found)]


def functions(assembly: str) -> list[str]:
    """The names of kernels and of what they call, in the text's order."""
    return [match[1] for match in FUNCTION.finditer(assembly)]


def product_loops(assembly: str, function: str) -> list[list[str]]:
    """The lines of each loop of `function` with matrix products that holds no other such loop, in the text's order."""
    starts = [(match.start(), match[1]) for match in FUNCTION.finditer(assembly)]
    ends = [start for start, _ in starts[1:]] + [len(assembly)]
    texts = {name: assembly[start:end] for (start, name), end in zip(starts, ends)}
    graph = Graph(texts[function].splitlines()[1:])
    loops = [
        loop for loop in graph.loops() if any(PRODUCT.match(line) for block in loop for line in graph.blocks[block])
    ]
    inner = [loop for loop in loops if not any(other < loop for other in loops)]
    return [[line for block in sorted(loop) for line in graph.blocks[block]] for loop in inner]


def opcodes(lines: Iterable[str]) -> Counter[str]:
    """How often each instruction stands in `lines`, without guards and operands."""
    # RDNA's dual instructions are two on a line.
    parts = (part for line in lines for part in line.split(" :: "))
    found = (re.match(r"(?:@!?%\w+\s+)?([a-z]\w*(?:[.:]+\w+)*)(?:\s|;|$)", part) for part in parts)
    return Counter(match[1] for match in found if match)


if __name__ == "__main__":  # loops.py FILE: the instructions of each loop with products, and how many there are
    text = Path(sys.argv[1]).read_text()
    for function in functions(text):
        for number, loop in enumerate(product_loops(text, function), 1):
            print(f"{function}, loop {number}:")
            print(*(f"{count:5} {name}" for name, count in sorted(opcodes(loop).items())), "end", sep="\n")
