"""Whole modules: a framework's graph, in which attention is raised and fused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from . import _flashc
from .kernel import Kernel


class Module:
    """A compiled module. Its functions are attributes: ``module.main(x, w)``."""

    def __init__(self, text: str, target: str, tf32: bool = False) -> None:
        self._text = text
        self._target = target
        self._tf32 = tf32
        self._functions: dict[str, Kernel] = {}

    def function(self, name: str) -> Kernel:
        """The function `name`, compiled at its first use; "" for the only public one."""
        if name not in self._functions:
            self._functions[name] = Kernel(_flashc.compile_module(self._text, name, self._target, self._tf32))
        return self._functions[name]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self.function(name)

    def __repr__(self) -> str:
        return f"<flashc.Module for {self._target}: {', '.join(self._functions) or 'nothing compiled'}>"


def compile_module(source: str | os.PathLike[str], *, target: str = "host", tf32: bool = False) -> Module:
    """Compiles a module of linalg, tosa or attn operations, given as text or as the path of a file.

    A string with a line break or that begins with ``module`` or ``func`` is text; any other is a path. Attention in it becomes fused
    kernels, the rest goes through upstream's tiling and vectorisation. With `tf32` its attention of float32 multiplies in tf32,
    as in `flashc.attention`; targets that cannot refuse.
    """
    if isinstance(source, str) and ("\n" in source or source.lstrip().startswith(("module", "func", "builtin.module"))):
        text = source
    else:
        text = Path(source).read_text(encoding="utf-8")
    return Module(text, target, tf32)
