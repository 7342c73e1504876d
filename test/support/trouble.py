"""Real kernels that misbehave, put where a tuner finds its candidates: into the cache of kernels, and behind a flash-compile.

Trouble is C code in front of a kernel's own functions: the kernel's object is linked with it into one of the same name. Nothing in
flashc knows of this; what is replaced is a file that it would read anyway.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

#: What happens before (or instead of) the kernel, by name; `calls` counts from 1. A candidate that is checked has run twice.
TROUBLES = {
    "segfault": "*(volatile int *)0 = 1;",
    "illegal": "__builtin_trap();",
    "hang": 'for (;;) __asm__ volatile("");',
    "exit": "_exit(7);",
    "nothing": "return FLASHC_OK;",
    "off": "status = kernel_run(args, stream, workspace, size); data[0] += 0.01f; return status;",
    "nan": "status = kernel_run(args, stream, workspace, size); data[0] = 0.0f / 0.0f; return status;",
    "refuses": "return FLASHC_ERROR_INVALID;",
    "late segfault": "if (calls > 6) *(volatile int *)0 = 1;",
    "late hang": 'if (calls > 6) for (;;) __asm__ volatile("");',
    "memory": "",
}
#: What is said of each.
REASONS = {
    "segfault": "crashed: Segmentation fault",
    "illegal": "crashed: ",
    "hang": "took longer than ",
    "exit": "ended with status 7",
    "nothing": "wrong result for ",
    "off": "wrong result for ",
    "nan": "wrong result for ",
    "refuses": "the kernel refused the call",
    "late segfault": "crashed: Segmentation fault",
    "late hang": "took longer than ",
    "memory": "no memory for a workspace of ",
}

SOURCE = """
#include "flashc/runtime.h"
#include <unistd.h>
size_t kernel_size(const flashc_args *args);
flashc_status kernel_run(const flashc_args *args, void *stream, void *workspace, size_t size);
size_t NAME_workspace_size(const flashc_args *args) { return (size_t)(MEMORY ? 1ll << 60 : 0) + kernel_size(args); }
flashc_status NAME_run(const flashc_args *args, void *stream, void *workspace, size_t size) {
  static int calls;
  volatile float *data = (volatile float *)args->tensors[3].data; /* q, k, v, out */
  flashc_status status;
  (void)data, (void)status;
  ++calls;
  TROUBLE
  return kernel_run(args, stream, workspace, size);
}
"""


def run(*command: Any) -> None:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def with_trouble(kernel: bytes, name: str, trouble: str, folder: Path) -> Path:
    """An object with the kernel of another one, and trouble in front of it."""
    real, source, ahead, both = (folder / file for file in ("real.o", "ahead.c", "ahead.o", "both.o"))
    real.write_bytes(kernel)
    run("objcopy", f"--redefine-sym={name}_run=kernel_run", f"--redefine-sym={name}_workspace_size=kernel_size", real)
    text = SOURCE.replace("NAME", name).replace("TROUBLE", TROUBLES[trouble])
    source.write_text(text.replace("MEMORY", str(int(trouble == "memory"))))
    options = ("-c", "-O1", "-fPIC", "-fno-asynchronous-unwind-tables", "-I", ROOT / "runtime/include")
    run("cc", *options, source, "-o", ahead)
    run("ld", "-r", ahead, real, "-o", both)
    return both


class Entry:
    """An entry of the cache of kernels, as runtime/KernelCache.cpp and runtime/Artifact.cpp lay it out."""

    def __init__(self, path: Path) -> None:
        content = path.read_bytes()
        assert content[:8] == b"FLASHCKC"
        self.path, self.key, artifact = path, content[8:40], content[72:]
        assert artifact[:8] == b"FLASHCAR"
        self.version, self.kind, *sizes = struct.unpack_from("<2I4Q", artifact, 8)
        at, parts = 80, []
        for size in sizes:
            parts.append(artifact[at : at + size])
            at += size
        self.name, self.target, self.metadata, self.object = parts
        self.description = json.loads(self.metadata)

    def write(self) -> None:
        parts = (self.name, self.target, self.metadata, self.object)
        header = b"FLASHCAR" + struct.pack("<2I4Q", self.version, self.kind, *map(len, parts))
        payload = b"".join(parts)
        artifact = header + hashlib.sha256(header + payload).digest() + payload
        self.path.write_bytes(b"FLASHCKC" + self.key + hashlib.sha256(self.key + artifact).digest() + artifact)


def put_into_cache(cache: Path, tiles: tuple[int, ...], trouble: str) -> None:
    """Replaces the candidate with these tiles."""
    wanted = dict(zip(("rows", "keys", "split"), tiles))
    found = 0
    for path in cache.glob("*.kernel"):
        entry = Entry(path)
        own = dict(entry.description["tiles"])
        if own.pop("source") != "store" or {"split": wanted.get("split"), **own} != {"split": None, **wanted}:
            continue
        with tempfile.TemporaryDirectory() as folder:
            entry.object = with_trouble(entry.object, entry.name.decode(), trouble, Path(folder)).read_bytes()
        entry.write()
        found += 1
    assert found == 1, f"expected one candidate with tiles {tiles}, found {found}"


def forget_winners(cache: Path) -> None:
    """Empties the tuning store but for what was measured of the machine."""
    path = cache / "tuning-1.json"
    store = json.loads(path.read_text())
    path.write_text(json.dumps({**store, "entries": []}))


def make_tools(folder: Path, bin: Path, trouble: str) -> Path:
    """flash-run with a flash-compile beside it whose first candidate has trouble; the tiles it has go to `victim`."""
    folder.mkdir()
    shutil.copy(bin / "flash-run", folder / "flash-run")
    arguments = f"{str(bin / 'flash-compile')!r}, {trouble!r}, {str(folder / 'victim')!r}"
    compiler = folder / "flash-compile"
    compiler.write_text(
        f"#!{sys.executable}\nimport sys\nfrom pathlib import Path\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        f"import trouble\ntrouble.compile_pack({arguments}, sys.argv[1:])\n"
    )
    compiler.chmod(0o755)
    return folder / "flash-run"


def compile_pack(compiler: str, trouble: str, victim: str, arguments: list[str]) -> None:
    """What the flash-compile of `make_tools` does."""
    done = subprocess.run([compiler, *arguments], check=False)
    if done.returncode == 0 and "--tiles" in arguments and not os.path.exists(victim):
        Path(victim).write_text(arguments[arguments.index("--tiles") + 1])
        pack = Path(arguments[arguments.index("-o") + 1])
        description = json.loads((pack / "kernel.json").read_text())
        name, library = description["name"], description["files"]["library"]
        with tempfile.TemporaryDirectory() as folder:
            both = with_trouble((pack / f"{name}.o").read_bytes(), name, trouble, Path(folder))
            run("cc", "-shared", both, "-o", pack / library["path"], "-lm")
        content = (pack / library["path"]).read_bytes()
        library.update(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
        (pack / "kernel.json").write_text(json.dumps(description))
    sys.exit(done.returncode)
