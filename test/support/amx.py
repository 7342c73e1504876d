"""Kernels for Intel's tile instructions on a machine that lacks them.

The kernel's LLVM IR is compiled for this machine with the tile intrinsics replaced by calls of test/amx's emulator, which
checks each instruction, and loaded as any pack.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import flashc

EMULATOR = Path(__file__).parent.parent / "amx" / "AmxEmulator.cpp"
INTRINSICS = {
    "ldtilecfg": "ldtilecfg",
    "tilerelease": "tilerelease",
    "tilezero": "tilezero",
    "tileloadd64": "tileloadd",
    "tilestored64": "tilestored",
    "tdpbf16ps": "tdpbf16ps",
}


def flags() -> frozenset[str]:
    """What /proc/cpuinfo says the machine has."""
    with open("/proc/cpuinfo") as file:
        return next((frozenset(line.split()) for line in file if line.startswith("flags")), frozenset())


def target(tiles: bool = True) -> str:
    """AVX-512, bf16 conversions where this machine has them, and tiles."""
    features = ["x86-64-v4", *(["+avx512bf16"] if "avx512_bf16" in flags() else []), *(["+amx-bf16"] if tiles else [])]
    return "cpu:" + ",".join(features)


def has_tiles() -> bool:
    return {"amx_tile", "amx_bf16"} <= flags()


@dataclass
class Emulator:
    """The emulator's library, in the process's global scope so that kernels find it."""

    library: ctypes.CDLL

    def reset(self) -> None:
        self.library.flashc_amx_reset()

    def check(self) -> int:
        """How many products there were since the last reset. No instruction faulted, and no thread kept its tiles."""
        fault = self.library.flashc_amx_fault()
        assert fault is None, fault.decode()
        assert self.library.flashc_amx_configured_threads() == 0
        return int(self.library.flashc_amx_products())


@cache
def emulator(folder: Path) -> Emulator:
    """Compiles the emulator into `folder`, once, and loads it."""
    library = folder / "libflashc-amx-emulator.so"
    compiler = shutil.which("clang++-19") or shutil.which("c++") or "c++"
    subprocess.run([compiler, "-std=c++17", "-O2", "-shared", "-fPIC", "-o", library, EMULATOR], check=True)
    loaded = ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)
    loaded.flashc_amx_fault.restype = ctypes.c_char_p
    loaded.flashc_amx_products.restype = ctypes.c_uint64
    loaded.flashc_amx_configured_threads.restype = ctypes.c_int64
    return Emulator(loaded)


def emulate(text: str) -> str:
    """LLVM IR whose tile intrinsics are the emulator's functions, and whose dispatcher asks nobody."""
    names = "|".join(INTRINSICS)
    text, count = re.subn(rf"@llvm\.x86\.({names})\b", lambda m: "@flashc_amx_" + INTRINSICS[m.group(1)], text)
    assert count, "the kernel has no tile instructions"
    assert "@llvm.x86.tile" not in text, "a tile instruction that the emulator does not know"
    # `immarg` is for intrinsics alone.
    text = "\n".join(
        line.replace(" immarg", " zeroext") if line.startswith("declare") and "@flashc_amx_" in line else line
        for line in text.splitlines()
    )
    text, count = re.subn(r"call i1 @flashc\.tiles\(i1 [^)]*\)", "or i1 true, true", text)
    assert count == 1, "the dispatcher does not ask for tiles"
    return text


def load(kernel: flashc.Kernel, folder: Path) -> flashc.Kernel:
    """`kernel`, compiled for a target with tiles, as a pack in `folder` that runs on the emulator."""
    kernel.save(folder, name=kernel.name)
    source, code, library = folder / "emulated.ll", folder / "emulated.o", folder / f"lib{kernel.name}.so"
    source.write_text(emulate(kernel.ir("llvm-ir")))
    tools = Path(
        subprocess.run(["llvm-config-19", "--bindir"], capture_output=True, text=True, check=True).stdout.strip()
    )
    subprocess.run([tools / "llc", "-O2", "-filetype=obj", "-relocation-model=pic", "-o", code, source], check=True)
    subprocess.run(["cc", "-shared", "-nostdlib", "-o", library, code], check=True)
    description = folder / "kernel.json"
    pack = json.loads(description.read_text())
    data = library.read_bytes()
    pack["files"]["library"].update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    description.write_text(json.dumps(pack))
    return flashc.load(folder)
