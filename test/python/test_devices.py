"""Arrays on GPUs that are not there: DLPack producers of device type kDLCUDA over a fake driver.

A driver is looked for once in a process, so each case runs in one of its own: this file, called with the case's name.
"""

import ctypes
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

import flashc
from flashc import _flashc

FAKE = Path(_flashc.__file__).resolve().parents[2] / "test" / "runtime" / "libflashc-fake-cuda.so"
CUDA, CPU = 2, 1


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
        + [("shared_allowed", ctypes.c_int64)]
    )


def counts():
    result = Counts()
    ctypes.CDLL(str(FAKE)).fake_get(ctypes.byref(result))
    return result


class Array:
    """A float32 array in the memory of a fake GPU."""

    def __init__(self, shape, device=0):
        driver = ctypes.CDLL(str(FAKE))
        self.shape, self.place, self.streams = shape, (CUDA, device), []
        self.device = types.SimpleNamespace(id=device)
        address, current, size = ctypes.c_void_p(), ctypes.c_void_p(), 4
        for length in shape:
            size *= length
        driver.cuCtxPushCurrent_v2(ctypes.c_void_p(device + 1))
        assert driver.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(max(size, 4))) == 0
        driver.cuCtxPopCurrent_v2(ctypes.byref(current))
        self.address = address.value

    def __dlpack_device__(self):
        return self.place

    def __dlpack__(self, *, stream=None, **_):
        self.streams.append(stream)
        self.sizes = (ctypes.c_int64 * len(self.shape))(*self.shape)
        self.managed = DLManagedTensor()
        tensor = self.managed.tensor
        tensor.data, (tensor.device_type, tensor.device_id) = self.address, self.place
        tensor.ndim, tensor.code, tensor.bits, tensor.lanes = len(self.shape), 2, 32, 1
        tensor.shape = self.sizes
        new = ctypes.pythonapi.PyCapsule_New
        new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        return new(ctypes.addressof(self.managed), b"dltensor", None)


def inputs(kind=Array, devices=(0, 0, 0)):
    return [kind((1, 2, 40, 64), device) for device in devices]


def case_runs_on_the_default_stream_and_hands_the_result_over():
    taken = []
    module = types.ModuleType("framework")
    module.from_dlpack = lambda buffer: taken.append((buffer, buffer.__dlpack_device__(), buffer.__dlpack__(stream=1)))
    sys.modules["framework"] = module
    Array.__module__ = "framework"
    q, k, v = inputs()
    before = counts()
    flashc.attention(q, k, v)
    after = counts()
    assert after.launches > before.launches
    assert after.waits == before.waits, "a call must not wait for the device"
    assert not after.last_stream
    assert q.streams == k.streams == v.streams == [1]
    assert taken[0][1] == (CUDA, 0)
    launches = after.launches
    flashc.attention(q, k, v)
    assert counts().loads == after.loads
    assert counts().launches > launches


def case_runs_on_the_stream_of_the_framework_with_its_memory():
    module = types.ModuleType("cupy")
    stream = types.SimpleNamespace(ptr=0x1230)

    class Device:
        def __init__(self, number):
            self.number = number

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    class ndarray(Array):  # noqa: N801
        __module__ = "cupy"

    made = []

    def empty(shape, dtype):
        assert dtype == "float32"
        made.append(ndarray(tuple(shape)))
        return made[-1]

    module.cuda = types.SimpleNamespace(get_current_stream=lambda: stream, Device=Device)
    module.empty, module.ndarray = empty, ndarray
    sys.modules["cupy"] = module
    q, k, v = inputs(ndarray)
    out, lse = flashc.attention(q, k, v, return_lse=True)
    assert (out, lse) == tuple(made)
    assert out.shape == (1, 2, 40, 64)
    assert lse.shape == (1, 2, 40)
    assert q.streams[0] == 0x1230
    assert counts().last_stream == 0x1230
    waits = counts().waits
    flashc.attention(q, k, v, out=out)
    assert counts().waits == waits


def case_refuses_arrays_on_different_devices():
    ctypes.CDLL(str(FAKE)).fake_set(ctypes.c_int(2), ctypes.c_int(80), ctypes.c_int64(1 << 20))
    q, k, v = inputs(devices=(0, 1, 0))
    with pytest.raises(
        ValueError, match="k: expected an array in the memory of cuda:0, where q lies, got one in the memory of cuda:1"
    ):
        flashc.attention(q, k, v)
    import numpy as np

    host = np.zeros((1, 2, 40, 64), np.float32)
    with pytest.raises(
        ValueError, match="k: expected an array in the memory of cuda:0, where q lies, got one in the CPU's memory"
    ):
        flashc.attention(q, host, host)
    with pytest.raises(ValueError, match="out: expected an array in the memory of cuda:0, got one in the CPU's memory"):
        flashc.attention(q, q, q, out=host)


def case_refuses_what_a_device_cannot_run():
    import numpy as np

    q, k, v = inputs()
    host = np.zeros((1, 2, 40, 64), np.float32)
    with pytest.raises(
        ValueError,
        match=r"q: expected an array in the CPU's memory, as attention is compiled for cpu.*, got one in the memory of cuda:0",
    ):
        flashc.compile(head_dim=64)(q, k, v)
    with pytest.raises(
        ValueError,
        match=r'q: lies in the memory of cuda:0: .*got one for "nvptx:sm_90a", which runs on that chip alone',
    ):
        flashc.attention(q, k, v, target="nvptx:sm_90a")
    with pytest.raises(
        ValueError,
        match=r'q: expected an array in the memory of a device for "nvptx:sm_80", such as cuda:0, got one in the CPU\'s memory',
    ):
        flashc.attention(host, host, host, target="nvptx:sm_80")
    with pytest.raises(
        ValueError,
        match=r"q: expected an array in the CPU's memory, where the reference is computed, got one in the memory of cuda:0",
    ):
        flashc.reference(q, k, v)


def case_lists_devices():
    names = [device["name"] for device in flashc.devices()]
    assert names[:2] == ["cpu", "cuda:0"]
    assert "emulated:sm_80" in names
    report = flashc.doctor(print_report=False)
    assert "cuda:0: Fake 0 (sm_80), 10 multiprocessors" in report["gpus"]
    assert "CUDA driver 12.8" in report["gpus"]


def belong_to_a_framework():
    """Results become arrays of a framework that takes them as they are."""
    module = types.ModuleType("framework")
    module.from_dlpack = lambda buffer: buffer
    sys.modules["framework"] = module
    Array.__module__ = "framework"


def save_fat_pack(folder, targets):
    import json

    packs = []
    for target in targets:
        path = target.replace(":", "-")
        flashc.compile(head_dim=64, dtype="f32", target=target).save(folder / path)
        packs.append({"target": target, "path": path})
    (folder / "kernel.json").write_text(json.dumps({"format": "flashc-fat-pack", "version": 1, "packs": packs}))


def case_picks_from_a_fat_pack():
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ctypes.CDLL(str(FAKE)).fake_set(ctypes.c_int(1), ctypes.c_int(90), ctypes.c_int64(1 << 20))
        save_fat_pack(folder, ["nvptx:sm_80", "nvptx:sm_90a"])
        kernel = flashc.load(folder)
        assert kernel.target == "nvptx:sm_90a", "the one for that very chip before the one that runs on it"
        belong_to_a_framework()
        before = counts().launches
        kernel(*inputs())
        assert counts().launches > before


def case_refuses_a_fat_pack_for_other_devices():
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_fat_pack(folder, ["nvptx:sm_90a", "amdgpu:gfx942"])
        with pytest.raises(
            RuntimeError, match=r"expected a pack for a device of this machine among its 2, got none.*\(cpu, cuda:0"
        ) as error:
            flashc.load(folder)
        assert 'got "nvptx:sm_90a"' in str(error.value)
        assert "no hip device: turned off by FLASHC_HIP_LIBRARY=" in str(error.value)


def case_says_that_the_device_is_exhausted():
    belong_to_a_framework()
    q, k, v = inputs()
    flashc.attention(q, k, v)
    driver = ctypes.CDLL(str(FAKE))
    driver.fake_set(ctypes.c_int(1), ctypes.c_int(80), ctypes.c_int64(counts().bytes + 100))
    before = counts()
    with pytest.raises(
        MemoryError, match=r"out of memory: expected \d+ bytes, got a device with \d+ of \d+ bytes free"
    ):
        flashc.attention(q, k, v)
    assert counts().launches == before.launches
    assert counts().allocations <= before.allocations, "nothing is left of a call that failed"
    driver.fake_set(ctypes.c_int(1), ctypes.c_int(80), ctypes.c_int64(1 << 20))
    flashc.attention(q, k, v)


CASES = [name for name in dir(sys.modules[__name__]) if name.startswith("case_")]


def without_a_driver():
    class Absent(Array):
        def __init__(self):
            self.shape, self.place, self.streams, self.address = (1, 1, 4, 8), (CUDA, 0), [], 4096

    q = Absent()
    reason = r"no cuda device: turned off by FLASHC_CUDA_LIBRARY="
    with pytest.raises(RuntimeError, match=rf'expected a device of this machine .*got "cuda:0"; {reason}'):
        flashc.attention(q, q, q)
    assert "no cuda: turned off by FLASHC_CUDA_LIBRARY=" in flashc.doctor(print_report=False)["gpus"]


def run_alone(case, driver):
    environment = {**os.environ, "FLASHC_CUDA_LIBRARY": driver, "FLASHC_HIP_LIBRARY": ""}
    done = subprocess.run(
        [sys.executable, __file__, case], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not FAKE.exists(), reason="the fake driver is not built")
@pytest.mark.parametrize("case", CASES)
def test_with_a_fake_driver(case):
    run_alone(case, str(FAKE))


def test_without_a_driver():
    run_alone("without_a_driver", "")


def test_another_kind_of_device():
    class Metal(Array):
        def __init__(self):
            self.shape, self.place, self.streams, self.address = (1, 1, 4, 8), (8, 0), [], 4096

    x = Metal()
    with pytest.raises(
        ValueError,
        match="q: expected an array in the memory of the CPU or of a GPU of CUDA or ROCm, got one on DLPack device 8:0",
    ):
        flashc.attention(x, x, x)


@pytest.mark.parametrize("framework", ["numpy", "torch"])
def test_arrays_of_the_cpu_run_on_an_emulated_gpu(framework):
    np = pytest.importorskip("numpy")
    generator = np.random.default_rng(7)
    q, k, v = (generator.standard_normal((2, 4, 40, 64), np.float32) for _ in range(3))
    mask = flashc.causal("bottom_right")
    expected, expected_lse = flashc.reference(q, k, v, mask=mask)
    if framework == "torch":
        torch = pytest.importorskip("torch")
        q, k, v = (torch.from_numpy(array) for array in (q, k, v))
    out, lse = flashc.attention(q, k, v, mask=mask, return_lse=True, target="emulated:sm_80")
    assert type(out) is type(q)
    assert np.abs(np.asarray(out) - expected).max() < 1e-5
    assert np.abs(np.asarray(lse) - expected_lse).max() < 1e-5


def test_a_device_that_is_not_there():
    np = pytest.importorskip("numpy")
    x = np.zeros((1, 1, 20, 64), np.float32)
    with pytest.raises((RuntimeError, ValueError), match='"amdgpu:gfx942"'):
        flashc.attention(x, x, x, target="amdgpu:gfx942")


if __name__ == "__main__":
    globals()[sys.argv[1]]()
