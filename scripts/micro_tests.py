#!/usr/bin/env python3
"""Runs the emulator's instruction micro-tests on real chips: do they do what the emulator does?

Where flashc is built (LLVM 19, no GPU), write and compile them:

    build/bin/flashc-export-micro-tests tests/
    python3 scripts/micro_tests.py compile tests/

On the machine with the GPU (any Python from 3.8, the vendor's driver, nothing else), with the folder and this file copied:

    python3 micro_tests.py run tests/

Exit status: 0 when every test that the GPU's chip has is right, 1 when one is not, 2 when nothing could be run.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import math
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path


def tool(name: str) -> str:
    """A tool of LLVM 19, from Debian's prefix or the PATH."""
    found = shutil.which(f"/usr/lib/llvm-19/bin/{name}") or shutil.which(f"{name}-19") or shutil.which(name)
    if not found:
        sys.exit(f"{name} of LLVM 19 is not on the PATH")
    return found


def load(folder: Path) -> list[dict]:
    return json.loads((folder / "tests.json").read_text())


def compile_all(folder: Path) -> int:
    for test in load(folder):
        source, chip = folder / f"{test['name']}.ll", test["chip"]
        if chip.startswith("sm_"):
            assembly = source.with_suffix(".ptx")
            subprocess.run([tool("llc"), f"-mcpu={chip}", "-mattr=+ptx83", source, "-o", assembly], check=True)
            if test["cluster"]:  # LLVM 19 does not write it
                size = f".explicitcluster\n.reqnctapercluster {test['cluster']}, 1, 1\n{{"
                assembly.write_text(assembly.read_text().replace("{", size, 1))
            continue
        binary = source.with_suffix(".o")
        subprocess.run([tool("llc"), f"-mcpu={chip}", "-filetype=obj", source, "-o", binary], check=True)
        subprocess.run([tool("ld.lld"), "-shared", binary, "-o", source.with_suffix(".hsaco")], check=True)
        binary.unlink()
    return 0


class Driver:
    """What CUDA's and HIP's drivers have in common, by the names of their functions."""

    def __init__(self, library: str, names: dict[str, str]) -> None:
        self.library, self.names = ctypes.CDLL(library), names

    def call(self, what: str, *arguments: object) -> None:
        status = getattr(self.library, self.names.get(what, what))(*arguments)
        if status:
            raise RuntimeError(f"{self.names.get(what, what)} returned {status}")

    def allocate(self, data: bytes) -> ctypes.c_void_p:
        memory = ctypes.c_void_p()
        self.call("malloc", ctypes.byref(memory), ctypes.c_size_t(max(len(data), 16)))
        self.call("to", memory, data, ctypes.c_size_t(len(data)))
        return memory

    def run(self, image: bytes, test: dict, data: bytes, size: int) -> bytes:
        module, function = ctypes.c_void_p(), ctypes.c_void_p()
        self.call("module", ctypes.byref(module), image)
        self.call("function", ctypes.byref(function), module, b"micro")
        self.opt_in(function, test["shared_bytes"])
        inputs, outputs = self.allocate(data), self.allocate(bytes(size))
        parameters: list[object] = [inputs, outputs]
        if "map" in test:
            parameters.append(self.encode(test["map"], inputs if test["map"]["of"] == "in" else outputs))
        addresses = (ctypes.c_void_p * len(parameters))(*[ctypes.addressof(p) for p in parameters])
        one, threads, shared = ctypes.c_uint(1), ctypes.c_uint(test["threads"]), ctypes.c_uint(test["shared_bytes"])
        blocks = ctypes.c_uint(test["blocks"])
        self.call("launch", function, blocks, one, one, threads, one, one, shared, None, addresses, None)
        self.call("synchronize")
        result = ctypes.create_string_buffer(size)
        self.call("from", result, outputs, ctypes.c_size_t(size))
        for memory in (inputs, outputs):
            self.call("free", memory)
        self.call("unload", module)
        return result.raw

    def opt_in(self, function: ctypes.c_void_p, shared: int) -> None:
        """More than 48 KB of shared memory has to be asked for on NVIDIA."""

    def encode(self, tensor: dict, address: ctypes.c_void_p) -> object:
        raise RuntimeError("this chip has no tensor maps")


class Cuda(Driver):
    suffix = ".ptx"

    def __init__(self) -> None:
        super().__init__(
            "libcuda.so.1",
            {
                "malloc": "cuMemAlloc_v2",
                "free": "cuMemFree_v2",
                "to": "cuMemcpyHtoD_v2",
                "from": "cuMemcpyDtoH_v2",
                "module": "cuModuleLoadData",
                "unload": "cuModuleUnload",
                "function": "cuModuleGetFunction",
                "launch": "cuLaunchKernel",
                "synchronize": "cuCtxSynchronize",
            },
        )
        device, context, major, minor = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_int(), ctypes.c_int()
        self.call("cuInit", 0)
        self.call("cuDeviceGet", ctypes.byref(device), 0)
        self.call("cuDeviceGetAttribute", ctypes.byref(major), 75, device)
        self.call("cuDeviceGetAttribute", ctypes.byref(minor), 76, device)
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self.call("cuCtxSetCurrent", context)
        self.capability = major.value * 10 + minor.value

    def has(self, chip: str) -> bool:
        if not chip.startswith("sm_"):
            return False
        wanted = int("".join(c for c in chip if c.isdigit()))
        return self.capability == wanted if chip.endswith("a") else self.capability >= wanted

    def opt_in(self, function: ctypes.c_void_p, shared: int) -> None:
        if shared > 48 << 10:
            self.call("cuFuncSetAttribute", function, 8, shared)

    def encode(self, tensor: dict, address: ctypes.c_void_p) -> object:
        storage = ctypes.create_string_buffer(192)
        aligned = (ctypes.addressof(storage) + 63) // 64 * 64
        rank = len(tensor["size"])
        kinds = {0: 8, 1: 7, 2: 6, 3: 9}  # flashc_dtype to CUtensorMapDataType
        swizzles = {0: 0, 32: 1, 64: 2, 128: 3}
        wide, narrow = ctypes.c_uint64 * 5, ctypes.c_uint32 * 5
        self.call(
            "cuTensorMapEncodeTiled",
            ctypes.c_void_p(aligned),
            kinds[tensor["dtype"]],
            ctypes.c_uint32(rank),
            address,
            wide(*tensor["size"]),
            wide(*tensor["stride_bytes"]),
            narrow(*tensor["box"]),
            narrow(*[1] * rank),
            0,
            swizzles[tensor["swizzle"]],
            0,
            tensor["fill_nan"],
        )
        map_bytes = (ctypes.c_char * 128).from_address(aligned)
        map_bytes.owner = storage
        return map_bytes


class Hip(Driver):
    suffix = ".hsaco"

    def __init__(self) -> None:
        super().__init__(
            "libamdhip64.so",
            {
                "malloc": "hipMalloc",
                "free": "hipFree",
                "to": "hipMemcpyHtoD",
                "from": "hipMemcpyDtoH",
                "module": "hipModuleLoadData",
                "unload": "hipModuleUnload",
                "function": "hipModuleGetFunction",
                "launch": "hipModuleLaunchKernel",
                "synchronize": "hipDeviceSynchronize",
            },
        )
        self.call("hipInit", 0)
        # The name of the instruction set stands somewhere in the properties, whose layout changes with the version.
        properties = ctypes.create_string_buffer(8192)
        self.call("hipGetDeviceProperties", properties, 0)
        begin = properties.raw.find(b"gfx")
        self.chip = properties.raw[begin : begin + 16].split(b"\0")[0].split(b":")[0].decode() if begin >= 0 else ""

    def has(self, chip: str) -> bool:
        return chip == self.chip


def difference(test: dict, actual: bytes, expected: bytes) -> str:
    """Where the values differ, or nothing."""
    kind = {"bits": "I", "f32": "f", "f64": "d"}[test["compare"]]
    count = len(expected) // struct.calcsize(kind)
    bad = []
    for i, (a, e) in enumerate(zip(struct.unpack(f"{count}{kind}", actual), struct.unpack(f"{count}{kind}", expected))):
        same = a == e or (a != a and e != e) or (kind != "I" and math.fabs(a - e) <= test["tolerance"])
        if not same:
            bad.append((i, a, e))
    return f"{len(bad)} of {count} values differ, the first at {bad[0][0]}: {bad[0][1]} for {bad[0][2]}" if bad else ""


def run_all(folder: Path, options: argparse.Namespace) -> int:
    drivers, reasons = [], []
    for kind in (Cuda, Hip):
        try:
            drivers.append(kind())
        except (OSError, RuntimeError) as error:
            reasons.append(f"{kind.__name__}: {error}")
    ran, failed = options.ran, options.failed
    tests = [test for test in load(folder) if options.only in test["name"]]
    for index, test in enumerate(tests):
        driver = next((driver for driver in drivers if driver.has(test["chip"])), None)
        if index < options.begin or not driver:
            continue
        expected = (folder / f"{test['name']}.expected").read_bytes()
        image = (folder / f"{test['name']}{driver.suffix}").read_bytes() + b"\0"
        ran, broken = ran + 1, False
        try:
            actual = driver.run(image, test, (folder / f"{test['name']}.in").read_bytes(), len(expected))
            problem = difference(test, actual, expected)
        except RuntimeError as error:
            problem, broken = str(error), True
        failed += bool(problem)
        print(f"{'FAIL' if problem else 'ok  '} {test['name']}{': ' + problem if problem else ''}", flush=True)
        if broken:  # after a fault a process can do no more with the device: the rest runs in a new one
            again = ["--only", options.only, "--begin", str(index + 1), "--ran", str(ran), "--failed", str(failed)]
            os.execv(sys.executable, [sys.executable, __file__, "run", str(folder), *again])
    if ran:
        print(f"{ran - failed} of {ran} micro-tests are right")
    else:
        print(f"nothing to run: {'; '.join(reasons) or 'no test for this chip'}")
    return 2 if not ran else int(failed > 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=["compile", "run"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", help="run the tests whose names contain this")
    for name in ("--begin", "--ran", "--failed"):  # where a new process takes over
        parser.add_argument(name, type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    return compile_all(options.folder) if options.action == "compile" else run_all(options.folder, options)


if __name__ == "__main__":
    sys.exit(main())
