"""Compiled kernels: calling them, looking into them, keeping them."""

from __future__ import annotations

import json
import os
from typing import Any

from . import _flashc, tuning


class Kernel:
    """A compiled kernel. Calls may come from any thread; the GIL is released while one runs."""

    __slots__ = ("_kernel", "call")

    def __init__(self, kernel: _flashc.Kernel) -> None:
        self._kernel = kernel
        #: The call without the method's own cost.
        self.call = kernel.call

    def __call__(self, *operands: Any, bias: Any = None, out: Any = None, stream: Any = None) -> Any:
        """Runs the kernel on its operands in order (see `operands`); `bias` may be given by name, `out` is written to.

        `stream` is for arrays on a GPU, as in `flashc.attention`. Returns the output, or a tuple of the outputs when there
        are several (out, lse).
        """
        return self._kernel.call(*operands, bias=bias, out=out, stream=stream)

    @property
    def name(self) -> str:
        """The prefix of the kernel's C functions."""
        return self._kernel.name

    @property
    def target(self) -> str:
        """What the kernel was compiled for, in the grammar of ``--target``."""
        return self._kernel.target

    @property
    def operands(self) -> list[str]:
        """The names of the operands that a call gives, in order."""
        return self._kernel.operands

    @property
    def info(self) -> dict[str, Any]:
        """What the kernel says of itself: element type, head dims, mask, tiles, instruction sets, compiler."""
        info: dict[str, Any] = json.loads(self._kernel.metadata)
        return info

    def ir(self, stage: str = "input") -> str:
        """The module after a stage of the compiler; `flashc.stages()` names them."""
        return self._kernel.stage(stage)

    def asm(self) -> str:
        """The kernel's assembly."""
        return self._kernel.stage("asm")

    def save(self, folder: str | os.PathLike[str], name: str | None = None) -> None:
        """Writes the kernel as a pack: object, libraries, header, CMake package and description.

        `name` becomes the prefix of the C functions, by default the kernel's own name.
        """
        self._kernel.save(os.fspath(folder), name or self.name)

    def tune(
        self,
        *operands: Any,
        shapes: Any = None,
        budget: float = 10.0,
        layout: str = "bhsd",
        progress: tuning.Progress | None = None,
    ) -> Any:
        """Finds the fastest tiles for the sizes of these operands, or for `shapes`, in about `budget` seconds a shape.

        Later calls with such sizes use them, also in other processes. Returns a `flashc.tuning.TuningResult`, or a list of them
        for several shapes. The operands' values do not matter, so none is read or written.
        """
        if (shapes is None) == (not operands):
            raise TypeError("tune: expected operands or shapes=, and not both")
        if shapes is None:
            shapes = tuning.shape_of_operands(operands, layout)
        return tuning.tune_all(self, shapes, budget=budget, progress=progress)

    def __repr__(self) -> str:
        return f"<flashc.Kernel {self.name} for {self.target}: {', '.join(self.operands)}>"


def load(folder: str | os.PathLike[str]) -> Kernel:
    """Loads a pack that `Kernel.save` or flash-compile wrote. A pack is code: load only what you would run."""
    return Kernel(_flashc.load(os.fspath(folder)))


def stages() -> list[tuple[str, str]]:
    """The compiler's stages that `Kernel.ir` knows, in order, each with a sentence."""
    return _flashc.stages()
