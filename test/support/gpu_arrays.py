"""Arrays on GPUs that are not there: DLPack producers over the fake drivers of test/runtime, and stand-ins for frameworks.

A driver is looked for once in a process, so each case of a test runs in one of its own: the test's file, called with the
case's name (`run_alone`).
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import types
from pathlib import Path

from flashc import _flashc

BUILD = Path(_flashc.__file__).resolve().parents[2]
FAKES = {name: BUILD / "test" / "runtime" / f"libflashc-fake-{name}.so" for name in ("cuda", "hip")}
CUDA, ROCM = 2, 10
TYPES = {"f32": (2, 32), "f16": (2, 16), "bf16": (4, 16), "i8": (0, 8)}


class DLTensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


class DLManagedTensor(ctypes.Structure):
    _fields_ = [("tensor", DLTensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p)]


class Counts(ctypes.Structure):
    """struct fake_counts of test/runtime/fake_gpu.h."""

    _fields_ = (
        [
            (name, ctypes.c_int64)
            for name in (
                "allocations",
                "modules",
                "events",
                "contexts",
                "pushed",
                "calls",
                "launches",
                "loads",
                "waits",
                "bytes",
            )
        ]
        + [("last_stream", ctypes.c_void_p), ("last_blocks", ctypes.c_int64), ("last_threads", ctypes.c_int64)]
        + [("shared_allowed", ctypes.c_int64), ("orders", ctypes.c_int64)]
        + [("last_earlier", ctypes.c_void_p), ("last_later", ctypes.c_void_p)]
    )


def driver(vendor: str = "cuda") -> ctypes.CDLL:
    return ctypes.CDLL(str(FAKES[vendor]))


def counts(vendor: str = "cuda") -> Counts:
    result = Counts()
    driver(vendor).fake_get(ctypes.byref(result))
    return result


def set_gpus(count: int = 1, capability: int = 80, memory: int = 1 << 20) -> None:
    driver().fake_set(ctypes.c_int(count), ctypes.c_int(capability), ctypes.c_int64(memory))


def set_busy(busy: bool) -> None:
    """Whether work that was launched has not ended yet."""
    driver().fake_set_busy(ctypes.c_int(busy))


def allocate(size: int, place: tuple[int, int]) -> int:
    address, current = ctypes.c_void_p(), ctypes.c_void_p()
    if place[0] == ROCM:
        assert driver("hip").hipMalloc(ctypes.byref(address), ctypes.c_size_t(max(size, 4))) == 0
        return address.value
    driver().cuCtxPushCurrent_v2(ctypes.c_void_p(place[1] + 1))
    assert driver().cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(max(size, 4))) == 0
    driver().cuCtxPopCurrent_v2(ctypes.byref(current))
    return address.value


class Array:
    """An array in the memory of a fake GPU, of no framework. `streams` notes what `__dlpack__` was asked with."""

    kind = CUDA

    def __init__(self, shape, device=0, dtype="f32", strides=None, offset=0, address=0):
        self.shape, self.place, self.streams, self.dtype = tuple(shape), (self.kind, device), [], dtype
        self.device = types.SimpleNamespace(id=device)
        size = TYPES[dtype][1] // 8
        for length in shape:
            size *= length
        self.address = address or allocate(size + offset, self.place) + offset
        self.sizes = (ctypes.c_int64 * len(shape))(*shape)
        self.strides = (ctypes.c_int64 * len(shape))(*strides) if strides else None

    def fill(self, tensor: DLTensor) -> None:
        tensor.data, (tensor.device_type, tensor.device_id) = self.address, self.place
        tensor.ndim, (tensor.code, tensor.bits), tensor.lanes = len(self.shape), TYPES[self.dtype], 1
        tensor.shape, tensor.byte_offset = self.sizes, 0
        tensor.strides = self.strides

    def __dlpack_device__(self):
        return self.place

    def __dlpack__(self, *, stream=None, **_):
        self.streams.append(stream)
        self.managed = DLManagedTensor()
        self.fill(self.managed.tensor)
        new = ctypes.pythonapi.PyCapsule_New
        new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        return new(ctypes.addressof(self.managed), b"dltensor", None)


def inputs(kind=Array, devices=(0, 0, 0), **options):
    return [kind((1, 2, 40, 64), device, **options) for device in devices]


def belong_to_a_framework(kind: type = Array) -> None:
    """Results become arrays of a framework that takes them as they are, and that has no streams to ask for."""
    module = types.ModuleType("framework")
    module.from_dlpack = lambda buffer: buffer
    sys.modules["framework"] = module
    kind.__module__ = "framework"


def cases(file_globals: dict) -> list[str]:
    return [name for name in file_globals if name.startswith("case_")]


def run_alone(file: str, case: str, *, cuda: str = "", hip: str = "", argument: str = "") -> None:
    """Runs a case of a test's file in a process of its own, with these drivers and an argument where it takes one."""
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "FLASHC_CUDA_LIBRARY": cuda, "FLASHC_HIP_LIBRARY": hip, "PYTHONPATH": path}
    command = [sys.executable, file, case, *([argument] if argument else [])]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
