"""Who is measured. A peer's module is imported in its worker alone, and has one class `Peer`."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..cases import Case
from ..problem import Array


class UnsupportedError(Exception):
    """The peer has nothing for this case; the message says why."""


@dataclass
class Prepared:
    """One case, ready to be called again and again."""

    call: Callable[[], Any]  # attention on the case's arrays; what it returns is what `rows` takes
    rows: Callable[[Any, list[tuple[int, int, int]]], list[Array]]  # (batch, head, query) rows of a result, in float64
    facts: dict[str, Any] = field(default_factory=dict)  # what the peer says of the code it runs


@dataclass(frozen=True)
class Entry:
    """A peer as tables name it. `apart`: it lives in the peers' environment, not in the one that flashc is in."""

    title: str
    module: str
    apart: bool = True


PEERS = {
    "flashc": Entry("flashc", "flashc_kernel", apart=False),
    "torch": Entry("PyTorch SDPA", "torch_sdpa"),
    "flex": Entry("PyTorch flex, compiled", "torch_flex"),
    "onnxruntime": Entry("ONNX Runtime", "onnx_runtime"),
    "openvino": Entry("OpenVINO", "open_vino"),
    "jax": Entry("JAX", "jax_attention"),
}


def create(name: str, threads: int) -> Any:
    """The peer of that name, which imports its framework; ImportError where it is not installed.

    It has `versions()`, a dictionary of texts, and `prepare(case, q, k, v)`, which returns a `Prepared` or raises `UnsupportedError`.
    """
    return importlib.import_module(f".{PEERS[name].module}", __name__).Peer(threads)


def rows_bhsd(to_numpy: Callable[[Any], Array]) -> Callable[[Any, list[tuple[int, int, int]]], list[Array]]:
    """`Prepared.rows` for a result whose axes are batch, head, query and head dim."""
    from ..problem import to_f64

    def rows(result: Any, at: list[tuple[int, int, int]]) -> list[Array]:
        array = to_numpy(result)
        return [to_f64(array[b, h, i]) for b, h, i in at]

    return rows


def rows_bshd(to_numpy: Callable[[Any], Array]) -> Callable[[Any, list[tuple[int, int, int]]], list[Array]]:
    """The same where query and head have changed places."""
    from ..problem import to_f64

    def rows(result: Any, at: list[tuple[int, int, int]]) -> list[Array]:
        array = to_numpy(result)
        return [to_f64(array[b, i, h]) for b, h, i in at]

    return rows


__all__ = ["PEERS", "Case", "Entry", "Prepared", "UnsupportedError", "create", "rows_bhsd", "rows_bshd"]
