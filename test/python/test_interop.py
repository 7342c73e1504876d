"""Arrays of every framework, in place, with any strides; and what is refused."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import torch

from flashc import _flashc

TORCH = {"f64": torch.float64, "f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16,
         "i64": torch.int64, "i32": torch.int32, "i8": torch.int8, "bool": torch.bool}  # fmt: skip
NUMPY = {"f64": np.float64, "f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16,
         "i64": np.int64, "i32": np.int32, "i8": np.int8, "bool": np.bool_}  # fmt: skip
JAX = {name: dtype for name, dtype in NUMPY.items() if name not in ("f64", "i64")}


@pytest.mark.parametrize("name", NUMPY)
def test_numpy_types(name):
    assert _flashc.inspect(np.zeros((2, 3), NUMPY[name])) == (name, (2, 3), (3, 1), False)


@pytest.mark.parametrize("name", TORCH)
def test_torch_types(name):
    assert _flashc.inspect(torch.zeros(2, 3, dtype=TORCH[name])) == (name, (2, 3), (3, 1), False)


@pytest.mark.parametrize("name", JAX)
def test_jax_types(name):
    # JAX's arrays are immutable, so nothing may be written to them.
    assert _flashc.inspect(jnp.zeros((2, 3), JAX[name])) == (name, (2, 3), (3, 1), True)


def test_unsigned_flags_are_flags():
    assert _flashc.inspect(np.zeros(3, np.uint8))[0] == "i8"
    assert _flashc.inspect(torch.zeros(3, dtype=torch.uint8))[0] == "i8"


@pytest.mark.parametrize("make", [np.zeros, torch.zeros], ids=["numpy", "torch"])
def test_strides_are_in_elements(make):
    x = make((4, 6, 8))
    assert _flashc.inspect(x[1:3, ::2, 1:])[1:3] == ((2, 3, 7), (48, 16, 1))
    transposed = x.transpose(0, 2, 1) if isinstance(x, np.ndarray) else x.transpose(1, 2)
    assert _flashc.inspect(transposed)[1:3] == ((4, 8, 6), (48, 1, 8))


def test_zero_and_negative_strides():
    assert _flashc.inspect(np.broadcast_to(np.zeros(5), (3, 5)))[1:3] == ((3, 5), (0, 1))
    assert _flashc.inspect(torch.zeros(5).expand(3, 5))[1:3] == ((3, 5), (0, 1))
    assert _flashc.inspect(np.zeros((3, 5))[::-1, ::-2])[1:3] == ((3, 3), (-5, -2))


def test_scalars_and_empty_arrays():
    assert _flashc.inspect(np.ones(()))[1] == ()
    assert _flashc.inspect(np.zeros((0, 3), np.float32))[1] == (0, 3)
    assert _flashc.inspect(torch.zeros(3, 0))[1] == (3, 0)


def test_read_only_arrays_are_known():
    x = np.zeros(3)
    x.flags.writeable = False
    assert _flashc.inspect(x)[3]


def test_subclasses_are_arrays():
    assert _flashc.inspect(np.zeros(3).view(np.recarray))[0] == "f64"
    assert _flashc.inspect(torch.nn.Parameter(torch.zeros(3), requires_grad=False))[0] == "f32"

    class Tagged(torch.Tensor):
        pass

    assert _flashc.inspect(torch.zeros(3).as_subclass(Tagged))[1] == (3,)


class Producer:
    """An array of no known framework: only what the protocol asks for."""

    def __init__(self, array, versions=True):
        self.array = array
        self.versions = versions

    def __dlpack__(self, **options):
        if options and not self.versions:
            raise TypeError("__dlpack__() got an unexpected keyword argument")
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


@pytest.mark.parametrize("versions", [True, False])
def test_any_producer(versions):
    x = np.arange(12.0).reshape(3, 4)[:, ::2]
    assert _flashc.inspect(Producer(x, versions))[:3] == ("f64", (3, 2), (4, 2))


def test_a_producer_that_returns_no_capsule():
    class Liar:
        def __dlpack__(self, **options):
            return 7

    with pytest.raises(TypeError, match=r"x: expected __dlpack__ to return a DLPack capsule, got <class 'int'>"):
        _flashc.inspect(Liar(), "x")


def test_a_producer_that_raises():
    class Broken:
        def __dlpack__(self, **options):
            raise BufferError("gone")

    with pytest.raises(BufferError, match="gone"):
        _flashc.inspect(Broken())


def test_the_exported_capsule_is_given_back():
    freed = []

    class Memory(np.ndarray):
        def __del__(self):
            freed.append(True)

    array = np.zeros(3).view(Memory)
    _flashc.inspect(Producer(array))
    del array
    assert freed


@pytest.mark.parametrize("thing", [1.0, [1.0, 2.0], None, "text", object()], ids=lambda x: type(x).__name__)
def test_no_array(thing):
    with pytest.raises(TypeError, match=rf"q: expected an array with __dlpack__ .*, got .*{type(thing).__name__}"):
        _flashc.inspect(thing, "q")


@pytest.mark.parametrize("dtype", [np.complex64, np.int16, np.uint32, np.dtype("U3"), np.dtype(">f4"), object], ids=str)
def test_element_types_that_no_kernel_has(dtype):
    with pytest.raises(TypeError, match="q: expected elements of f64, f32, f16, bf16, i64, i32, i8 or bool, got "):
        _flashc.inspect(np.zeros(3, dtype), "q")


def test_torch_element_types_that_no_kernel_has():
    with pytest.raises(TypeError, match="got complex64"):
        _flashc.inspect(torch.zeros(3, dtype=torch.complex64))
    with pytest.raises(TypeError, match="got int16"):
        _flashc.inspect(torch.zeros(3, dtype=torch.int16))


def test_strides_between_elements():
    x = np.zeros(3, np.dtype([("a", np.float32), ("b", np.int8)]))["a"]
    with pytest.raises(ValueError, match=r"expected strides that are multiples of the element size, 4 bytes, got 5"):
        _flashc.inspect(x)


def test_too_many_dimensions():
    with pytest.raises(ValueError, match="expected at most 8 dimensions, got 9"):
        _flashc.inspect(np.zeros((1,) * 9))


def test_other_devices():
    with pytest.raises((ValueError, RuntimeError, NotImplementedError, BufferError)):
        _flashc.inspect(torch.zeros(3, device="meta"))


def test_gradients_are_not_dropped_silently():
    x = torch.zeros(3, requires_grad=True)
    with pytest.raises(TypeError, match=r"q: expected a tensor that requires no gradient.*q\.detach\(\)"):
        _flashc.inspect(x, "q")
    with torch.no_grad():
        assert _flashc.inspect(x)[0] == "f32"
    assert _flashc.inspect(x.detach())[0] == "f32"


def test_lazily_negated_views():
    x = torch.zeros(3, dtype=torch.complex64).conj().imag
    assert x.is_neg()
    with pytest.raises(TypeError, match="lazily negated"):
        _flashc.inspect(x)


def test_traced_jax_values_have_no_memory():
    with pytest.raises(Exception, match=r"__dlpack__|ConcretizationTypeError|Tracer"):
        jax.jit(lambda x: _flashc.inspect(x) and x)(jnp.zeros(3))


def test_sparse_tensors_have_no_strides():
    with pytest.raises((TypeError, RuntimeError, BufferError, ValueError)):
        _flashc.inspect(torch.eye(3).to_sparse())
