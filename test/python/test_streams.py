"""On which stream a call runs, and that nobody waits: arrays of stand-ins for PyTorch, CuPy and JAX over the fake drivers.

DLPack's protocol: `__dlpack__(stream=s)` asks a producer to make its work known to stream s. Of CUDA 1 is the legacy default
stream, 2 the thread's own and 0 is refused; of ROCm 0 is the default; -1 orders nothing. Each case runs in a process of its
own: this file, called with the case's name.
"""

import contextlib
import ctypes
import gc
import math
import sys
import types
import weakref

import pytest
from gpu_arrays import (
    CUDA,
    FAKES,
    ROCM,
    Array,
    DLTensor,
    belong_to_a_framework,
    cases,
    counts,
    inputs,
    run_alone,
    set_busy,
    set_gpus,
)

import flashc

TORCH_STREAM, CUPY_STREAM, JAX_STREAM, OTHER_STREAM = 0x1230, 0x4560, 0x7890, 0xABC0


class ExchangeTable(ctypes.Structure):
    """DLPack's function table, as PyTorch's tensor type publishes it."""

    _fields_ = [
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("previous", ctypes.c_void_p),
        *[
            (name, ctypes.c_void_p)
            for name in ("allocate", "from_object", "to_object", "view_object", "current_stream")
        ],
    ]


class DLManagedTensorVersioned(ctypes.Structure):
    _fields_ = [
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("tensor", DLTensor),
    ]


def publish_table(kind, stream, made):
    """Gives a tensor type the function table; `made` collects what is allocated through it."""
    managed = {}

    def allocate(prototype, out, *_):
        tensor = kind(tuple(prototype[0].shape[: prototype[0].ndim]), prototype[0].device_id, "f32")
        made.append(tensor)
        entry = DLManagedTensorVersioned(1, 1)
        tensor.fill(entry.tensor)
        managed[ctypes.addressof(entry)] = (entry, tensor)
        out[0] = ctypes.addressof(entry)
        return 0

    def to_object(entry, out):
        tensor = managed.pop(entry)[1]
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(tensor))
        out[0] = id(tensor)
        return 0

    def view_object(address, out):
        tensor = ctypes.cast(address, ctypes.py_object).value
        tensor.fill(out[0])
        out[0].strides = tensor.contiguous
        return 0

    def current_stream(device_type, device_id, out):
        assert (device_type, device_id) == (CUDA, 0)
        out[0] = stream
        return 0

    tensor_p, pointer_p = ctypes.POINTER(DLTensor), ctypes.POINTER(ctypes.c_void_p)
    c_int, address = ctypes.c_int, ctypes.c_void_p
    kind.functions = [
        ctypes.PYFUNCTYPE(c_int, tensor_p, pointer_p, address, address)(allocate),
        ctypes.PYFUNCTYPE(c_int, address, pointer_p)(lambda *_: -1),
        ctypes.PYFUNCTYPE(c_int, address, pointer_p)(to_object),
        ctypes.PYFUNCTYPE(c_int, address, tensor_p)(view_object),
        ctypes.PYFUNCTYPE(c_int, ctypes.c_int32, ctypes.c_int32, pointer_p)(current_stream),
    ]
    kind.table = ExchangeTable(1, 2, None, *[ctypes.cast(function, address) for function in kind.functions])
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, [address, ctypes.c_char_p, address]
    kind.__dlpack_c_exchange_api__ = new(ctypes.addressof(kind.table), b"dlpack_exchange_api", None)


def stand_in_for_torch(stream=TORCH_STREAM, table=True):
    """A module `torch` with tensors on GPUs; returns (tensor type, tensors that it allocated)."""
    made = []

    class Tensor(Array):
        __module__ = "torch"
        requires_grad = False

        def __init__(self, shape, device=0, dtype="f32"):
            super().__init__(shape, device, dtype)
            strides = [math.prod(shape[d + 1 :]) for d in range(len(shape))]
            self.contiguous = (ctypes.c_int64 * len(shape))(*strides)

        def is_neg(self):
            return False

    def empty(shape, dtype, device):
        made.append(Tensor(shape, device.id))
        return made[-1]

    def current_stream(device):
        assert device == 0
        return types.SimpleNamespace(cuda_stream=stream)

    module = types.ModuleType("torch")
    module.Tensor, module.empty = Tensor, empty
    module.cuda = types.SimpleNamespace(current_stream=current_stream)
    for name in ("float64", "float32", "float16", "bfloat16", "int8"):
        setattr(module, name, name)
    sys.modules["torch"] = module
    if table:
        publish_table(Tensor, stream, made)
    return Tensor, made


def stand_in_for_cupy(streams, old=False):
    """A module `cupy` whose devices have these streams; an `old` one knows the current device's alone."""

    class ndarray(Array):  # noqa: N801
        __module__ = "cupy"

    current = [0]

    @contextlib.contextmanager
    def use(number):
        current[0], before = number, current[0]
        yield
        current[0] = before

    def get_current_stream(device_id=None):
        return types.SimpleNamespace(ptr=streams[current[0] if device_id is None else device_id])

    module = types.ModuleType("cupy")
    module.ndarray = ndarray
    module.empty = lambda shape, dtype: ndarray(shape, current[0])
    module.cuda = types.SimpleNamespace(Device=use, get_current_stream=get_current_stream)
    if old:
        module.cuda.get_current_stream = lambda: get_current_stream()
    sys.modules["cupy"] = module
    return ndarray


def stand_in_for_jax():
    """Modules `jax` and `jax.numpy`: arrays have no public stream, and results are taken over on JAX's own."""

    class ArrayImpl(Array):
        __module__ = "jaxlib._jax"

        def block_until_ready(self):
            raise AssertionError("arrays on a GPU are not waited for")

    def from_dlpack(buffer):
        return types.SimpleNamespace(place=buffer.__dlpack_device__(), capsule=buffer.__dlpack__(stream=JAX_STREAM))

    jax, jnp = types.ModuleType("jax"), types.ModuleType("jax.numpy")
    jax.Array, jax.numpy, jnp.from_dlpack = ArrayImpl, jnp, from_dlpack
    sys.modules["jax"], sys.modules["jax.numpy"] = jax, jnp
    return ArrayImpl


def launched(*arrays, **options):
    """Calls attention; what was counted, after it was seen that a kernel was launched and nothing waited."""
    before = counts()
    result = flashc.attention(*arrays, **options)
    after = counts()
    assert after.launches > before.launches
    assert after.waits == before.waits, "a call must not wait for the device"
    return result, after


def case_torch_by_its_function_table():
    set_gpus(memory=1 << 24)
    tensor, made = stand_in_for_torch()
    q, k, v = inputs(tensor)
    out, after = launched(q, k, v)
    assert after.last_stream == TORCH_STREAM
    assert after.orders == 0, "one framework on one stream has nothing to order"
    assert out is made[0]
    assert q.streams == [], "the table has it all"
    # Few queries over many keys need a workspace: memory of the framework's, which it reuses in its stream's order.
    q, k, v = tensor((1, 2, 1, 64)), tensor((1, 2, 800, 64)), tensor((1, 2, 800, 64))
    del made[:]
    allocations = counts().allocations
    out, after = launched(q, k, v)
    assert after.last_stream == TORCH_STREAM
    assert [len(tensor.shape) for tensor in made] == [4, 1], "the result and the workspace"
    assert after.allocations == allocations + 2, "and nothing besides"


def case_torch_without_a_table():
    tensor, made = stand_in_for_torch(table=False)
    q, k, v = inputs(tensor)
    out, after = launched(q, k, v)
    assert after.last_stream == TORCH_STREAM
    assert q.streams == k.streams == v.streams == [TORCH_STREAM]
    assert out is made[0]


def case_torch_on_the_default_stream():
    tensor, _ = stand_in_for_torch(stream=0, table=False)
    q, k, v = inputs(tensor)
    _, after = launched(q, k, v)
    assert after.last_stream is None
    assert q.streams == [1], "DLPack's name of CUDA's default stream"


def case_cupy_on_the_stream_of_the_arrays_device():
    set_gpus(2)
    ndarray = stand_in_for_cupy({0: 0x10, 1: CUPY_STREAM})
    q, k, v = inputs(ndarray, devices=(1, 1, 1))
    _, after = launched(q, k, v)
    assert after.last_stream == CUPY_STREAM, "the current device is 0, the arrays' is 1"
    assert q.streams == [CUPY_STREAM]


def case_cupy_that_knows_the_current_device_alone():
    set_gpus(2)
    ndarray = stand_in_for_cupy({0: 0x10, 1: CUPY_STREAM}, old=True)
    _, after = launched(*inputs(ndarray, devices=(1, 1, 1)))
    assert after.last_stream == CUPY_STREAM


def case_jax_is_ordered_by_the_protocol():
    array = stand_in_for_jax()
    q, k, v = inputs(array)
    out, after = launched(q, k, v)
    assert after.last_stream is None, "JAX tells nobody its stream: the device's default one"
    assert q.streams == k.streams == v.streams == [1]
    # The stream on which JAX takes the result over waits for the kernel's.
    assert out.place == (CUDA, 0)
    assert (after.orders, after.last_earlier, after.last_later) == (1, None, JAX_STREAM)


def case_jax_keeps_what_a_kernel_reads():
    array = stand_in_for_jax()
    arrays = inputs(array)
    alive = [weakref.ref(x) for x in arrays]
    set_busy(True)
    launched(*arrays)
    del arrays
    gc.collect()
    assert all(x() for x in alive), "the kernel may still read them"
    events = counts().events
    set_busy(False)
    more = inputs(array)
    launched(*more)
    gc.collect()
    assert not any(x() for x in alive), "the next call lets go of what has ended"
    assert counts().events == events


def case_frameworks_wait_for_each_other():
    tensor, _ = stand_in_for_torch()
    ndarray = stand_in_for_cupy({0: CUPY_STREAM})
    q, (_, k, v) = tensor((1, 2, 40, 64)), inputs(ndarray)
    orders = counts().orders
    _, after = launched(q, k, v)
    assert after.last_stream == TORCH_STREAM, "the first array's"
    # Before the kernel CuPy's work is waited for; behind it CuPy may use the memory again, on its stream, when it is over.
    assert after.orders == orders + 2
    assert (after.last_earlier, after.last_later) == (TORCH_STREAM, CUPY_STREAM)


def case_an_output_of_another_framework():
    tensor, _ = stand_in_for_torch()
    ndarray = stand_in_for_cupy({0: CUPY_STREAM})
    q, k, v = inputs(tensor)
    out = ndarray((1, 2, 40, 64))
    result, after = launched(q, k, v, out=out)
    assert result is out
    assert after.last_stream == TORCH_STREAM
    assert (after.orders, after.last_earlier, after.last_later) == (2, TORCH_STREAM, CUPY_STREAM)


def case_a_stream_that_is_given():
    tensor, _ = stand_in_for_torch()
    own = counts().orders
    handles = [
        OTHER_STREAM,
        types.SimpleNamespace(cuda_stream=OTHER_STREAM),
        types.SimpleNamespace(ptr=OTHER_STREAM),
        types.SimpleNamespace(__cuda_stream__=lambda: (0, OTHER_STREAM)),
    ]
    q, k, v = inputs(tensor)
    for number, stream in enumerate(handles, 1):
        _, after = launched(q, k, v, stream=stream)
        assert after.last_stream == OTHER_STREAM
        # It waits for PyTorch's stream; that one does not wait for it.
        assert after.orders == own + number
        assert (after.last_earlier, after.last_later) == (TORCH_STREAM, OTHER_STREAM)
    kernel = flashc.compile(head_dim=64, target="nvptx:sm_80")
    kernel(q, k, v, stream=OTHER_STREAM)
    assert counts().last_stream == OTHER_STREAM
    # CUDA's own names: the legacy default stream and the thread's.
    for name in (1, 2):
        _, after = launched(q, k, v, stream=name)
        assert after.last_stream == name
    # What is read, and the result, stay until the kernel has ended.
    set_busy(True)
    arrays = inputs(tensor)
    alive = [weakref.ref(x) for x in arrays]
    out, _ = launched(*arrays, stream=OTHER_STREAM)
    alive.append(weakref.ref(out))
    del arrays, out
    gc.collect()
    assert all(x() for x in alive)


def case_a_stream_that_is_given_to_a_producer():
    array = stand_in_for_jax()
    q, k, v = inputs(array)
    _, after = launched(q, k, v, stream=OTHER_STREAM)
    assert q.streams == [OTHER_STREAM], "the producer orders its own work before it"
    assert after.last_stream == OTHER_STREAM
    assert (after.last_earlier, after.last_later) == (OTHER_STREAM, JAX_STREAM), "and takes the result over behind it"


def case_streams_that_are_none():
    belong_to_a_framework()
    q, k, v = inputs()
    with pytest.raises(ValueError, match="stream: expected the handle of a stream, got -1"):
        flashc.attention(q, k, v, stream=-1)
    with pytest.raises(TypeError, match=r"stream: expected a stream of PyTorch or CuPy, .* integer, got str"):
        flashc.attention(q, k, v, stream="default")
    import numpy as np

    host = np.zeros((1, 2, 40, 64), np.float32)
    with pytest.raises(ValueError, match="stream: expected none for arrays in the CPU's memory, got one"):
        flashc.attention(host, host, host, stream=OTHER_STREAM)


def case_results_know_their_stream():
    belong_to_a_framework()
    out, before = launched(*inputs())
    # Nothing to order: not asked to, or the same stream by any of its names.
    for stream in (-1, None, 1):
        out.__dlpack__(stream=stream)
        assert counts().orders == before.orders
    for stream in (2, OTHER_STREAM):
        out.__dlpack__(stream=stream)
        after = counts()
        assert (after.last_earlier, after.last_later) == (None, stream)
    assert after.orders == before.orders + 2
    assert after.waits == before.waits


def rocm_names_its_default_stream_zero():
    class Rocm(Array):
        kind = ROCM

    belong_to_a_framework(Rocm)
    q, k, v = inputs(Rocm)
    before = counts("hip")
    out = flashc.attention(q, k, v)
    after = counts("hip")
    assert after.launches > before.launches
    assert after.waits == before.waits
    assert q.streams == k.streams == v.streams == [0]
    assert after.last_stream is None
    assert out.__dlpack_device__() == (ROCM, 0)
    out.__dlpack__(stream=0)
    assert counts("hip").orders == after.orders
    out.__dlpack__(stream=OTHER_STREAM)
    assert counts("hip").last_later == OTHER_STREAM


@pytest.mark.skipif(not FAKES["cuda"].exists(), reason="the fake driver is not built")
@pytest.mark.parametrize("case", cases(globals()))
def test_on_cuda(case):
    run_alone(__file__, case, cuda=str(FAKES["cuda"]))


@pytest.mark.skipif(not FAKES["hip"].exists(), reason="the fake driver is not built")
def test_on_rocm():
    run_alone(__file__, "rocm_names_its_default_stream_zero", hip=str(FAKES["hip"]))


if __name__ == "__main__":
    globals()[sys.argv[1]]()
