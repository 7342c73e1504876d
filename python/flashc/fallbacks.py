"""What runs slower than it could, and why: never in silence."""

from __future__ import annotations

from . import _flashc


class FallbackWarning(UserWarning):
    """Said once for each thing that a kernel did without; see `fallbacks`."""


def fallbacks() -> list[str]:
    """What ran slower than it could have in this process, each thing once.

    Operands that a GPU could not copy sixteen bytes at a time or by its copy engine, tuned tiles that the compiler does not
    take, a fat pack that runs on the CPU as no GPU was found. Each is also a `FallbackWarning` when it happens first.

    >>> import flashc
    >>> all(isinstance(text, str) for text in flashc.fallbacks())
    True
    """
    return _flashc.fallbacks()
