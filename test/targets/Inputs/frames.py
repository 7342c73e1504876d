"""Prints the largest stack frame of a function in x86-64 assembly, and fails above a limit: frames.py FILE LIMIT."""

import re
import sys

path, limit = sys.argv[1], int(sys.argv[2])
name, frames = "", {}
with open(path) as file:
    for line in file:
        if label := re.match(r"([\w.]+):\s*(#.*)?$", line):
            name = label[1] if not label[1].startswith(".L") else name
        elif frame := re.match(r"\s+subq\s+\$(\d+), %rsp", line):
            frames[name] = max(frames.get(name, 0), int(frame[1]))
largest = max(frames, key=frames.get)
print(f"{len(frames)} frames, the largest of {largest}: {frames[largest]} bytes")
sys.exit(frames[largest] > limit)
