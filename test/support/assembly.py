"""What the vendors' assemblers say of a kernel: registers, spills, stack, warnings."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path

#: Serialised wgmma (C7510, C7511, C7515) and a setmaxnreg that is ignored (C7508).
WARNINGS = ("C7508", "C7510", "C7511", "C7515", "wgmma.mma_async instructions are serialized")


@dataclass(frozen=True)
class Usage:
    """Of one entry of a kernel. Spills are bytes with NVIDIA, vector registers with AMD, whose scalar registers go to lanes
    of vector registers; scratch is bytes of a thread in memory."""

    name: str
    registers: int
    spills: int
    scratch: int
    shared: int = 0
    threads: int = 0


def find_ptxas() -> str | None:
    """Where the compiler looks for it, too: FLASHC_PTXAS, the PATH, CUDA_HOME, the environment's package."""
    if given := os.environ.get("FLASHC_PTXAS"):
        return given
    if found := shutil.which("ptxas"):
        return found
    packages = Path(sysconfig.get_paths()["purelib"]) / "nvidia"
    folders = [Path(os.environ.get("CUDA_HOME", "/usr/local/cuda")) / "bin", *sorted(packages.glob("*/bin"))]
    return next((str(folder / "ptxas") for folder in folders if (folder / "ptxas").exists()), None)


def find_linker() -> str | None:
    return os.environ.get("FLASHC_LLD") or shutil.which("ld.lld-19") or shutil.which("ld.lld")


def find_readelf() -> str | None:
    if found := shutil.which("llvm-readelf-19") or shutil.which("llvm-readelf"):
        return found
    if config := shutil.which("llvm-config-19"):
        folder = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=True).stdout.strip()
        return shutil.which("llvm-readelf", path=folder)
    return None


def compile_kernel(options: list[str], target: str, emit: str) -> bytes:
    """What flash-compile writes for one kernel; its message is the error where it fails."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "kernel"
        command = ["flash-compile", *options, "--target", target, "--emit", emit, "--name", "k", "-o", str(out)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}"
        return out.read_bytes()


def assemble_ptx(ptx: bytes, chip: str) -> tuple[list[Usage], str]:
    """ptxas' account of each entry, and all that it printed; what it does not take is an error."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "kernel.ptx"
        source.write_bytes(ptx)
        command = [find_ptxas(), "-v", f"-arch={chip}", "-o", str(Path(folder) / "kernel.cubin"), str(source)]
        done = subprocess.run(command, capture_output=True, text=True)
    log = done.stdout + done.stderr
    assert done.returncode == 0, log
    usages = []
    for entry in re.split(r"Compiling entry function '", log)[1:]:
        stack = re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", entry)
        registers = re.search(r"Used (\d+) registers", entry)
        spills = int(stack[2]) + int(stack[3])
        usages.append(Usage(entry.split("'")[0], int(registers[1]), spills, int(stack[1])))
    return usages, log


def read_code_object(image: bytes) -> list[Usage]:
    """What the metadata of an AMD code object, which the loader reads, says of each kernel."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.hsaco"
        path.write_bytes(image)
        notes = subprocess.run(
            [find_readelf(), "--notes", str(path)], capture_output=True, text=True, check=True
        ).stdout
    return read_metadata(notes)


def read_metadata(notes: str) -> list[Usage]:
    """The same of the metadata as text, which ends AMD's assembly."""
    usages = []
    # Each kernel is an entry of a list; its keys are sorted, so the name stands among the others.
    for entry in re.split(r"\n  - (?=\.)", notes.split("amdhsa.kernels:")[1].split("amdhsa.target:")[0])[1:]:
        values = dict(re.findall(r"^ *\.([a-z_]+): +(\S+)$", entry, re.MULTILINE))
        usages.append(
            Usage(
                values["name"],
                int(values["vgpr_count"]),
                int(values["vgpr_spill_count"]),
                int(values["private_segment_fixed_size"]),
                int(values["group_segment_fixed_size"]),
                int(values["max_flat_workgroup_size"]),
            )
        )
    return usages


def registers_of(chip: str, threads: int) -> int:
    """Vector registers that a thread may have where a block of `threads` has to fit into one compute unit at once."""
    if chip == "gfx1100":  # 1,536 registers a lane and SIMD, at most 256 a wave; four SIMDs of two units share a block
        return min(256, 1536 // max(1, threads // 32 // 4))
    return min(512, 512 // max(1, threads // 64 // 4))  # with those of the matrix cores


def check_code(code: bytes, chip: str) -> None:
    """Asserts that the assembler takes a kernel for NVIDIA, as PTX, or for AMD, as a code object or as text, and that nothing
    of it lies in memory: no spill, no stack. NVIDIA's neither serialises a matrix product nor ignores a register budget; AMD's
    leaves room for a whole block."""
    if chip.startswith("sm_"):
        usages, log = assemble_ptx(code, chip)
        assert not [warning for warning in WARNINGS if warning in log], log
        assert b".local" not in code, "something lies in local memory"
    else:
        usages = read_code_object(code) if code.startswith(b"\x7fELF") else read_metadata(code.decode())
        assert not [usage for usage in usages if usage.registers > registers_of(chip, usage.threads)], usages
    assert len(usages) == 3, "the forms for few rows and for many, and the merge of parts"
    assert not [usage for usage in usages if usage.spills or usage.scratch], usages
