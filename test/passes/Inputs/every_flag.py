"""Names each pass and pipeline of flash-opt that mlir-opt has not and whose flag stands on no test's RUN line."""

import re
import subprocess
import sys
from pathlib import Path


def flags(tool: str) -> set[str]:
    text = subprocess.run([tool, "--help"], check=True, capture_output=True, text=True).stdout
    found = re.findall(r"^ {6}(--[a-z0-9-]+)", text.partition("    Passes:")[2], re.MULTILINE)
    assert found, f"{tool} --help lists no passes"
    return set(found)


def main(tests: str) -> None:
    run = [
        line
        for path in Path(tests).rglob("*")
        if path.suffix in (".mlir", ".test")
        for line in path.read_text(errors="replace").splitlines()
        if "RUN:" in line
    ]
    used = set(re.findall(r"(?<=\s)--[a-z0-9-]+", "\n".join(run)))
    own = flags("flash-opt") - flags("mlir-opt")
    print(len(own), "flags of its own")
    for flag in sorted(own - used):
        print("no test runs", flag)


main(sys.argv[1])
