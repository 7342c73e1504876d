"""Arrays on GPUs that are not there: where a call runs, what it refuses and what it leaves behind. Each case runs in a
process of its own: this file, called with the case's name."""

import sys
import types
from pathlib import Path

import pytest
from gpu_arrays import CUDA, FAKES, Array, belong_to_a_framework, cases, counts, inputs, run_alone, set_gpus

import flashc
from flashc import _flashc


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
    set_gpus(2)
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


def refuses_before_anything_runs(message, *arrays, **options):
    before = counts()
    with pytest.raises(ValueError, match=message):
        flashc.attention(*arrays, **options)
    after = counts()
    assert after.launches == before.launches
    assert after.allocations == before.allocations, "nothing is left of a call that failed"


def case_refuses_memory_that_is_not_the_devices():
    import numpy as np

    belong_to_a_framework()
    q, k, v = inputs()
    host = np.zeros((1, 2, 40, 64), np.float32)
    k.address = host.ctypes.data
    refuses_before_anything_runs(
        'operand 1 "k": expected memory of cuda:0, got a pointer to the host\'s memory', q, k, v
    )
    set_gpus(2)
    v = inputs(devices=(1,))[0]
    v.place = (CUDA, 0)
    refuses_before_anything_runs("got a pointer to another device's", q, q, v)


def case_refuses_misaligned_and_overlapping_memory():
    belong_to_a_framework()
    q, k, v = inputs()
    k = Array((1, 2, 40, 64), offset=2)
    refuses_before_anything_runs('operand 1 "k": expected data aligned to 4 bytes, got address 0x', q, k, v)
    refuses_before_anything_runs("out: expected memory of its own, got memory that overlaps input 0", q, v, v, out=q)
    out = Array((1, 2, 40, 64), strides=(0, 64, 64, 1))
    refuses_before_anything_runs("expected an output whose elements have a place each", q, v, v, out=out)


def case_refuses_tiles_beyond_shared_memory():
    belong_to_a_framework()
    refuses_before_anything_runs("bytes of shared memory", *inputs(), tiles=(1024, 1024))


def case_lists_devices():
    names = [device["name"] for device in flashc.devices()]
    assert names[:2] == ["cpu", "cuda:0"]
    assert "emulated:sm_80" in names
    report = flashc.doctor(print_report=False)
    assert "cuda:0: Fake 0 (sm_80), 10 multiprocessors" in report["gpus"]
    assert "CUDA driver 12.8, runs nvptx:sm_80" in report["gpus"]
    with pytest.raises(ValueError, match="expected the name of a GPU, such as 'cuda:0', got 'cuda:'"):
        _flashc.target_for("cuda:")


def case_says_what_a_newer_chip_runs():
    set_gpus(1, 100)
    assert "cuda:0: Fake 0 (sm_100), 10 multiprocessors" in flashc.doctor(print_report=False)["gpus"]
    assert ", runs nvptx:sm_80" in flashc.doctor(print_report=False)["gpus"]


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
        set_gpus(1, 90)
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
    set_gpus(1, 80, counts().bytes + 100)
    before = counts()
    with pytest.raises(
        MemoryError, match=r"out of memory: expected \d+ bytes, got a device with \d+ of \d+ bytes free"
    ):
        flashc.attention(q, k, v)
    assert counts().launches == before.launches
    assert counts().allocations <= before.allocations, "nothing is left of a call that failed"
    set_gpus()
    flashc.attention(q, k, v)


def without_a_driver():
    q = Array((1, 1, 4, 8), address=4096)
    reason = r"no cuda device: turned off by FLASHC_CUDA_LIBRARY="
    with pytest.raises(RuntimeError, match=rf'expected a device of this machine .*got "cuda:0"; {reason}'):
        flashc.attention(q, q, q)
    assert "no cuda: turned off by FLASHC_CUDA_LIBRARY=" in flashc.doctor(print_report=False)["gpus"]


@pytest.mark.skipif(not FAKES["cuda"].exists(), reason="the fake driver is not built")
@pytest.mark.parametrize("case", cases(globals()))
def test_with_a_fake_driver(case):
    run_alone(__file__, case, cuda=str(FAKES["cuda"]))


def test_without_a_driver():
    run_alone(__file__, "without_a_driver")


def test_another_kind_of_device():
    x = Array((1, 1, 4, 8), address=4096)
    x.place = (8, 0)
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
