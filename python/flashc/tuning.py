"""Measuring which tiles are the fastest on this machine, and remembering it.

A kernel works with any lengths, and which tiles are best for it depends on them. Untuned, it gets what a cost model predicts. Tuning
compiles the model's best candidates for one shape, checks each against the float64 reference, times them by turns in a process of
their own, and keeps the winner in the tuning store, for that shape's bucket of similar ones. Later calls - also of other
processes - with sizes of the bucket use it. See docs/tuning.md.

>>> import flashc
>>> kernel = flashc.compile(head_dim=8)
>>> tiles, source = flashc.tuning.tiles(kernel, (1, 2, 100))
>>> source
'cost model'
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import _flashc

if TYPE_CHECKING:
    from .kernel import Kernel

#: (batch, heads, queries), (batch, heads, queries, keys), (batch, heads, kv_heads, queries, keys), or these by name.
Shape = Sequence[int] | Mapping[str, int]
Tiles = tuple[int, ...]
#: Called now and then with what is known: share (of the budget), phase, candidates, failed, running, best, speedup. False stops.
Progress = Callable[[dict[str, Any]], Any]

_NAMES = ("batch", "heads", "kv_heads", "queries", "keys")


@dataclass
class Candidate:
    """What became of one choice of tiles."""

    tiles: Tiles
    #: Seconds by the cost model; None for the kernel that nobody tuned.
    predicted: float | None
    #: The median of its turns; infinite when it failed, None when it had no turn.
    seconds: float | None
    rounds: int
    #: Why it failed, or "".
    failure: str


@dataclass
class TuningResult:
    """The winner for one shape: the untuned kernel's tiles unless others were faster, twice."""

    shape: dict[str, int]
    tiles: Tiles
    improved: bool
    #: Medians of the winner and of the untuned kernel, side by side in a fresh process.
    seconds: float
    default_seconds: float
    candidates: list[Candidate] = field(repr=False)

    @property
    def speedup(self) -> float:
        """How much faster than untuned, at least 1."""
        return self.default_seconds / self.seconds if self.improved else 1.0


def sizes_of(shape: Shape) -> tuple[int, int, int, int, int]:
    """(batch, heads, kv_heads, queries, keys) of a shape in any of its forms.

    >>> from flashc.tuning import sizes_of
    >>> sizes_of((1, 8, 1024))
    (1, 8, 8, 1024, 1024)
    >>> sizes_of({"heads": 32, "kv_heads": 8, "queries": 1, "keys": 4096})
    (1, 32, 8, 1, 4096)
    """
    if isinstance(shape, Mapping):
        unknown = set(shape) - set(_NAMES)
        if unknown or "queries" not in shape:
            raise ValueError(
                f"shape: expected queries, and any of batch, heads, kv_heads and keys, got {', '.join(shape)}"
            )
        given = {name: shape[name] for name in shape}
    else:
        names = {
            3: ("batch", "heads", "queries"),
            4: ("batch", "heads", "queries", "keys"),
            5: _NAMES,
        }.get(len(shape))
        if names is None:
            raise ValueError(
                "shape: expected (batch, heads, queries), (batch, heads, queries, keys) or "
                f"(batch, heads, kv_heads, queries, keys), got {tuple(shape)}"
            )
        given = dict(zip(names, shape))
    batch, heads = given.get("batch", 1), given.get("heads", 8)
    queries = given["queries"]
    sizes = (batch, heads, given.get("kv_heads", heads), queries, given.get("keys", queries))
    for name, size in zip(_NAMES, sizes):
        if isinstance(size, bool) or not isinstance(size, int):
            raise TypeError(f"shape: expected {name} to be an integer, got {size!r}")
        if size < 1:
            raise ValueError(f"shape: expected {name} of at least 1, got {size}")
    if sizes[1] % sizes[2]:
        raise ValueError(f"shape: expected heads that are a multiple of the {sizes[2]} kv_heads, got {sizes[1]}")
    return sizes


def shape_of_operands(operands: Sequence[Any], layout: str = "bhsd") -> tuple[int, int, int, int, int]:
    """The sizes of a call with these operands."""
    if len(operands) < 2:
        raise TypeError(f"tune: expected q and k, or shapes=, got {len(operands)} operands")
    q, k = (tuple(_flashc.inspect(operand, name)[1]) for operand, name in zip(operands, ("q", "k")))
    if len(q) != 4 or len(k) != 4:
        raise ValueError(f"tune: expected q and k of 4 dimensions, got {len(q)} and {len(k)}")
    heads, length = (1, 2) if layout == "bhsd" else (2, 1)
    return sizes_of((q[0], q[heads], k[heads], q[length], k[length]))


def _is_shape(shapes: Any) -> bool:
    return isinstance(shapes, Mapping) or (bool(shapes) and all(isinstance(size, int) for size in shapes))


class _Bar:
    """One line on a terminal that shows how far tuning is; nothing where there is no terminal."""

    WIDTH = 24

    def __init__(self, label: str) -> None:
        self.label = label
        self.shown = 0

    def __call__(self, state: dict[str, Any]) -> None:
        done = round(state["share"] * self.WIDTH)
        best = "x".join(map(str, state["best"][:2]))
        text = (
            f"\r{self.label} [{'#' * done}{'.' * (self.WIDTH - done)}] {state['phase']}, {state['candidates']} candidates, "
            f"{state['failed']} failed, best {best} ({state['speedup']:.2f}x)"
        )
        sys.stderr.write(text.ljust(self.shown))
        sys.stderr.flush()
        self.shown = len(text)

    def close(self) -> None:
        if self.shown:
            sys.stderr.write("\r" + " " * self.shown + "\r")
            sys.stderr.flush()


def tune_kernel(
    kernel: Kernel,
    shape: Shape,
    *,
    budget: float = 10.0,
    most_candidates: int = 24,
    progress: Progress | None = None,
) -> TuningResult:
    """Tunes a kernel for one shape; `Kernel.tune` and `flashc.tune` are more convenient."""
    if not budget > 0:
        raise ValueError(f"budget: expected seconds above 0, got {budget}")
    sizes = sizes_of(shape)
    bar = None
    if progress is None and sys.stderr is not None and sys.stderr.isatty():
        progress = bar = _Bar(f"tuning {'x'.join(map(str, sizes))}")
    try:
        outcome = _flashc.tune(kernel._kernel, sizes, float(budget), most_candidates, progress)
    finally:
        if bar is not None:
            bar.close()
    outcome["candidates"] = [Candidate(**candidate) for candidate in outcome["candidates"]]
    return TuningResult(shape=dict(zip(_NAMES, sizes)), **outcome)


def tune(
    *,
    shapes: Shape | Sequence[Shape],
    budget: float = 10.0,
    progress: Progress | None = None,
    **options: Any,
) -> Any:
    """Compiles a kernel and tunes it: the arguments of `flashc.compile`, and what it will be called with.

    `shapes` is one shape, or several: (batch, heads, queries), (batch, heads, queries, keys),
    (batch, heads, kv_heads, queries, keys), or these by name. `budget` is in seconds, for each. Returns a `TuningResult`, or a
    list of them. What wins is kept for every process of this user; a tie goes to the kernel that nobody tuned.
    """
    from .attention import compile

    if "tiles" in options:
        raise TypeError("tune: expected no tiles, as they are what is looked for")
    kernel = compile(**options)
    return kernel.tune(shapes=shapes, budget=budget, progress=progress)


def tune_all(kernel: Kernel, shapes: Any, **options: Any) -> Any:
    """`tune_kernel` of one shape, or a list for several."""
    if _is_shape(shapes):
        return tune_kernel(kernel, shapes, **options)
    return [tune_kernel(kernel, shape, **options) for shape in shapes]


def candidates(kernel: Kernel, shape: Shape) -> list[tuple[Tiles, float]]:
    """Every legal choice of tiles that the cost model tells apart, with its predicted seconds, fastest first.

    Compile one with ``flashc.compile(..., tiles=tiles)``.

    >>> import flashc
    >>> ranked = flashc.tuning.candidates(flashc.compile(head_dim=8), (1, 2, 100))
    >>> ranked[0][1] <= ranked[-1][1]
    True
    """
    return _flashc.tuning_candidates(kernel._kernel, sizes_of(shape))


def tiles(kernel: Kernel, shape: Shape) -> tuple[Tiles, str]:
    """The tiles that a call of this shape uses, and who chose them: "store", "shipped (...)" or "cost model"."""
    return _flashc.tiles_for(kernel._kernel, sizes_of(shape))


def entries() -> list[dict[str, Any]]:
    """What the store knows: device, kernel, shape, compiler, tiles and seconds of each entry."""
    return _flashc.tuning_entries()


def export_store(path: str | os.PathLike[str]) -> None:
    """Writes the store to a file for another machine or user."""
    _flashc.export_tuning(os.fspath(path))


def import_store(path: str | os.PathLike[str]) -> int:
    """Joins such a file into the store; of two entries for one key the faster stays. Returns how many it held."""
    return _flashc.import_tuning(os.fspath(path))


def device_facts() -> dict[str, float]:
    """What was measured of this machine, by name; docs/tuning.md lists names and units.

    >>> import flashc
    >>> flashc.tuning.device_facts()["f32-fma-gflops"] > 0
    True
    """
    return _flashc.device_facts()


def set_tuning(mode: str, budget: float = 5.0) -> None:
    """With "first-use", a call of sizes that the store knows nothing of is tuned first, for about `budget` seconds; "off" ends that.

    Off is the default; the environment's FLASHC_TUNE=1 turns it on, with FLASHC_TUNE_BUDGET seconds.
    """
    if mode not in ("off", "first-use"):
        raise ValueError(f"mode: expected 'off' or 'first-use', got {mode!r}")
    if not budget > 0:
        raise ValueError(f"budget: expected seconds above 0, got {budget}")
    _flashc.set_tuning_on_first_use(mode == "first-use", float(budget))


def get_tuning() -> str:
    """ "off" or "first-use"."""
    return "first-use" if _flashc.tuning_on_first_use() else "off"


# Candidates run in a program of their own: an interpreter with nothing but the extension, which is quick to start.
_WORKER = (
    "import sys,importlib.util as u;"
    "s=u.spec_from_file_location('_flashc',sys.argv[1]);m=u.module_from_spec(s);s.loader.exec_module(m);"
    "sys.exit(m.serve_tuning(int(sys.argv[2])))"
)


def _set_up() -> None:
    if sys.executable:
        _flashc.set_tuning_worker([sys.executable, "-I", "-S", "-c", _WORKER, str(_flashc.__file__)])
    if os.environ.get("FLASHC_TUNE", "") not in ("", "0"):
        try:
            budget = float(os.environ.get("FLASHC_TUNE_BUDGET", "5"))
        except ValueError:
            budget = 5.0
        set_tuning("first-use", budget if budget > 0 else 5.0)


_set_up()
