"""What arrays and results are, seen from Python.

Arguments are read in place, by DLPack or, for NumPy, directly; results are of the first argument's kind. The work is done
in the extension; here are the parts that are Python's.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from . import _flashc

#: Where a framework's `from_dlpack` is, by the module its arrays' type says it is from.
_CONSUMERS = {"jaxlib": "jax.numpy", "jax": "jax.numpy", "torch": "torch"}

_TORCH_NAMES = {"float64": "f64", "float32": "f32", "float16": "f16", "bfloat16": "bf16"}
_NAMES = {**_TORCH_NAMES, "int64": "i64", "int32": "i32", "int8": "i8", "uint8": "i8", "bool": "bool"}
DTYPES = ("f64", "f32", "f16", "bf16", "i64", "i32", "i8", "bool")


def adopt(buffer: _flashc.Buffer, kind: type) -> Any:
    """Hands the memory of a result to the framework that `kind` is an array type of, through DLPack.

    Types whose framework offers no `from_dlpack` get a NumPy array.
    """
    module = kind.__module__.partition(".")[0]
    framework = sys.modules.get(_CONSUMERS.get(module, module))
    consumer = getattr(framework, "from_dlpack", None)
    if consumer is None:
        consumer = importlib.import_module("numpy").from_dlpack
    return consumer(buffer)


def allocate(like: Any, shape: tuple[int, ...], dtype: str) -> Any:
    """An uninitialised array on the GPU of `like`, made by its framework's allocator; None for a framework without one.

    JAX has none: its arrays are never written to. Their results are memory of flashc's that JAX takes over.
    """
    module = type(like).__module__.partition(".")[0]
    if module == "torch":
        torch = sys.modules["torch"]
        names = {name: getattr(torch, long) for long, name in _TORCH_NAMES.items()}
        return torch.empty(shape, dtype=names.get(dtype, torch.int8), device=like.device)
    if module == "cupy":
        cupy = sys.modules["cupy"]
        names = {"f64": "float64", "f32": "float32", "f16": "float16", "i8": "int8"}
        if dtype in names:
            with cupy.cuda.Device(like.device.id):
                return cupy.empty(shape, dtype=names[dtype])
    return None


def dtype_name(dtype: object, argument: str = "dtype") -> str:
    """The project's name of an element type, given as such a name or as NumPy's, JAX's or PyTorch's type.

    >>> dtype_name("float32"), dtype_name("bf16")
    ('f32', 'bf16')
    """
    name = dtype if isinstance(dtype, str) else str(getattr(dtype, "__name__", dtype))
    name = name.removeprefix("torch.")
    name = _NAMES.get(name, name)
    if name not in DTYPES:
        raise ValueError(f"{argument}: expected one of {', '.join(DTYPES)}, got {dtype!r}")
    return name
