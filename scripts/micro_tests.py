#!/usr/bin/env python3
"""Runs the emulator's instruction micro-tests on real chips: do they do what the emulator does?

Where flashc is built (LLVM 19, no GPU), write and compile them:

    mkdir tests && build/bin/flashc-export-micro-tests tests/
    python3 scripts/micro_tests.py compile tests/

On the machine with the GPU (any Python from 3.8, the vendor's driver, nothing else), with the folder, this file and gpu_check
copied:

    python3 micro_tests.py run tests/

A test that hangs, or takes its process along, is one that failed. The drivers are those that FLASHC_CUDA_LIBRARY and
FLASHC_HIP_LIBRARY name, as the runtime's are; --images .ll gives them LLVM IR, which the emulated chips' driver takes
(libflashc-emulated-driver.so, of the tests), so that what runs on a chip is tried without one.

Exit status: 0 when every test that the GPU's chip has is right, 1 when one is not, 2 when nothing could be run, 3 when the
time was over before.
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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # an isolated Python does not look beside its script

from gpu_check.watched import end_with_children, say, watch


def tool(name: str) -> str:
    """A tool of LLVM 19, from Debian's prefix or the PATH."""
    found = shutil.which(f"/usr/lib/llvm-19/bin/{name}") or shutil.which(f"{name}-19") or shutil.which(name)
    if not found:
        sys.exit(f"{name} of LLVM 19 is not on the PATH")
    return found


def load(folder: Path) -> list[dict]:
    return json.loads((folder / "tests.json").read_text())


def compile_one(folder: Path, test: dict) -> str:
    """Makes what a driver loads of a test; what is wrong, where an assembler says so."""
    source, chip = folder / f"{test['name']}.ll", test["chip"]
    if chip.startswith("sm_"):
        assembly = source.with_suffix(".ptx")
        subprocess.run([tool("llc"), f"-mcpu={chip}", "-mattr=+ptx83", source, "-o", assembly], check=True)
        if test["cluster"]:  # LLVM 19 does not write it
            size = f".explicitcluster\n.reqnctapercluster {test['cluster']}, 1, 1\n{{"
            assembly.write_text(assembly.read_text().replace("{", size, 1))
        if not shutil.which("ptxas"):
            return ""
        done = subprocess.run(["ptxas", f"-arch={chip}", assembly, "-o", os.devnull], capture_output=True, text=True)
        return f"{test['name']}: {(done.stderr or done.stdout).strip()}" if done.returncode else ""
    binary = source.with_suffix(".o")
    subprocess.run([tool("llc"), f"-mcpu={chip}", "-filetype=obj", source, "-o", binary], check=True)
    done = subprocess.run(
        [tool("ld.lld"), "-shared", binary, "-o", source.with_suffix(".hsaco")], capture_output=True, text=True
    )
    binary.unlink()
    return f"{test['name']}: {done.stderr.strip()}" if done.returncode else ""


def compile_all(folder: Path, jobs: int) -> int:
    tests = load(folder)
    with ThreadPoolExecutor(jobs) as pool:
        problems = [problem for problem in pool.map(lambda test: compile_one(folder, test), tests) if problem]
    print(*problems, sep="\n", end="\n" if problems else "")
    checked = "" if shutil.which("ptxas") else "; ptxas is not on the PATH, so NVIDIA's are not assembled"
    print(f"{len(tests) - len(problems)} of {len(tests)} micro-tests compiled{checked}")
    return int(bool(problems))


class Driver:
    """What CUDA's and HIP's drivers have in common, by the names of their functions."""

    def __init__(self, library: str, names: dict[str, str]) -> None:
        if not library:
            raise OSError("turned off")
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

    def __init__(self, number: int) -> None:
        super().__init__(
            os.environ.get("FLASHC_CUDA_LIBRARY", "libcuda.so.1"),
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
        self.call("cuDeviceGet", ctypes.byref(device), number)
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

    def __init__(self, number: int) -> None:
        super().__init__(
            os.environ.get("FLASHC_HIP_LIBRARY", "libamdhip64.so"),
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
        self.call("hipGetDeviceProperties", properties, number)
        if number:
            self.call("hipSetDevice", number)
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


def run_child(folder: Path, job: dict) -> int:
    """Runs tests from number `begin` on, and says what comes of each. Ends after the first that the driver reports: after a fault a
    process can do no more with the device."""
    drivers, reasons = [], []
    family, _, number = job["device"].partition(":")
    for kind in (Cuda, Hip):
        if family and kind.__name__.lower() != family:
            continue
        try:
            drivers.append(kind(int(number or 0)))
        except (OSError, RuntimeError, AttributeError) as error:
            reasons.append(f"{kind.__name__}: {error}")
    say(drivers=len(drivers), reasons=reasons)
    for index, test in enumerate(load(folder)):
        driver = next((driver for driver in drivers if driver.has(test["chip"])), None)
        if index < job["begin"] or job["only"] not in test["name"] or not driver:
            continue
        say(begin=index, name=test["name"])
        expected = (folder / f"{test['name']}.expected").read_bytes()
        image = (folder / f"{test['name']}{job['images'] or driver.suffix}").read_bytes() + b"\0"
        try:
            actual = driver.run(image, test, (folder / f"{test['name']}.in").read_bytes(), len(expected))
            say(result=difference(test, actual, expected))
        except RuntimeError as error:
            say(result=str(error))
            return 0
    say(end=True)
    return 0


def run_tests(
    folder: Path, seconds: float, only: str = "", images: str = "", until: float | None = None, device: str = ""
) -> dict:
    """Every test that the machine's chips have, of each vendor the first one where none is given, in processes with `seconds` for
    each, until a time of the monotonic clock: the exit status, and lines to print."""
    output: list[str] = []
    ran, failed, begin, ended = 0, 0, 0, None
    state: dict = {"reasons": [], "name": "", "end": False}

    def hear(message: dict) -> None:
        nonlocal ran, failed, begin
        state.update({key: message[key] for key in ("reasons", "name", "end") if key in message})
        if "begin" in message:
            begin = message["begin"] + 1
        if "result" in message:
            ran, failed = ran + 1, failed + bool(message["result"])
            output.append(
                f"FAIL {state['name']}: {message['result']}" if message["result"] else f"ok   {state['name']}"
            )
            state["name"] = ""

    isolated = ["-I"] if sys.flags.isolated else []
    command = [sys.executable, *isolated, str(Path(__file__).resolve()), "child", str(folder)]
    while not state["end"]:
        before = begin
        job = {"begin": begin, "only": only, "images": images, "device": device}
        ended = watch(command, hear, seconds, job, until)
        if ended.kind == "out of time":
            break
        if ended.kind != "done":
            if begin == before:  # not for a test's sake: the driver itself
                output.append(f"the drivers: {ended.kind}: {ended.detail}")
                return {"status": 2 if not ran else 1, "output": output}
            hear({"result": f"{ended.kind}: {ended.detail}"})
    if not ran and state["end"]:
        output.append(f"nothing to run: {'; '.join(state['reasons']) or 'no test for this chip'}")
        return {"status": 2, "output": output}
    output.append(
        f"{ran - failed} of {ran} micro-tests are right" + ("" if state["end"] else ", others were not reached")
    )
    return {"status": 1 if failed else 0 if state["end"] else 3, "output": output}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=["compile", "run", "child"], metavar="compile|run")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", help="run the tests whose names contain this")
    parser.add_argument(
        "--images", default="", help="what to give the driver: .ptx, .hsaco (as the driver takes) or .ll"
    )
    parser.add_argument("--device", default="", help="'cuda:1'; by default the first one of each vendor")
    parser.add_argument("--timeout", type=float, default=30, help="seconds for each test")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="tests compiled at a time")
    options = parser.parse_args()
    if options.action == "compile":
        return compile_all(options.folder, options.jobs)
    if options.action == "child":
        return run_child(options.folder, json.load(sys.stdin))
    end_with_children()
    result = run_tests(options.folder, options.timeout, options.only, options.images, device=options.device)
    print(*result["output"], sep="\n")
    return result["status"]


if __name__ == "__main__":
    sys.exit(main())
