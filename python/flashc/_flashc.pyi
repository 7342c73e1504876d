from collections.abc import Callable
from typing import Any

import numpy as np

ABI_VERSION: int

class Buffer:
    def __dlpack__(
        self, *, stream: object = None, max_version: object = None, dl_device: object = None, copy: object = None
    ) -> Any: ...
    def __dlpack_device__(self) -> tuple[int, int]: ...

class Kernel:
    name: str
    target: str
    metadata: str
    operands: list[str]
    path: str
    is_compiled: bool
    def call(self, *operands: Any, bias: Any = None, out: Any = None) -> Any: ...
    def stage(self, stage: str) -> str: ...
    def save(self, folder: str, name: str) -> None: ...

def attend(
    q: Any,
    k: Any,
    v: Any,
    mask: str,
    mask_arrays: tuple[Any, ...],
    scale: float | None,
    softcap: float | None,
    bias: Any,
    score: str,
    layout: str,
    return_lse: bool,
    target: str,
    tiles: tuple[int, int] | None,
    out: Any,
    /,
) -> Any: ...
def compile(
    *,
    head_dim: int,
    value_head_dim: int,
    dtype: str,
    mask: str,
    mask_dtypes: list[str],
    scale: float | None,
    softcap: float | None,
    bias: str | None,
    score: str,
    layout: str,
    return_lse: bool,
    target: str,
    tiles: tuple[int, int] | None,
    name: str,
) -> Kernel: ...
def compile_module(text: str, entry: str, target: str) -> Kernel: ...
def load(path: str) -> Kernel: ...
def stages() -> list[tuple[str, str]]: ...
def compile_counts() -> tuple[int, int]: ...
def kernels_in_memory() -> int: ...
def clear_kernels() -> None: ...
def compiler_version() -> str: ...
def describe_target(target: str) -> str: ...
def inspect(array: Any, name: str = "array") -> tuple[str, tuple[int, ...], tuple[int, ...], bool]: ...
def set_num_threads(count: int) -> None: ...
def get_num_threads() -> int: ...
def release_workspace() -> None: ...
def reference(
    q: Any,
    k: Any,
    v: Any,
    masks: tuple[tuple[str, tuple[Any, ...], tuple[Any, ...]], ...],
    scale: float | None,
    softcap: float | None,
    bias: Any,
    score_mod: Callable[..., Any] | None,
    mask_mod: Callable[..., Any] | None,
    layout: str,
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]: ...
