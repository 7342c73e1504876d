"""The oracle: what an attention means, in float64 and plain loops.

It shares no code with the compiler. It is slow and needs memory for every score.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _flashc
from .masks import Mask, as_mask

if TYPE_CHECKING:
    import numpy as np

    from .attention import Mod


def reference(
    q: Any,
    k: Any,
    v: Any,
    *,
    mask: Mask | str | None = None,
    scale: float | None = None,
    softcap: float | None = None,
    bias: Any = None,
    score_mod: Mod | None = None,
    mask_mod: Mod | None = None,
    layout: str = "bhsd",
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """(out, lse) of `attention` with the same arguments, as float64 NumPy arrays.

    score_mod and mask_mod are called with plain numbers, once for each score.

    >>> import numpy as np, flashc
    >>> x = np.ones((1, 1, 2, 4))
    >>> out, lse = flashc.reference(x, x, x, scale=0.0)
    >>> float(out[0, 0, 0, 0]), round(float(lse[0, 0, 0]), 6)
    (1.0, 0.693147)
    """
    resolved = as_mask(mask)
    if resolved is not None:
        resolved.check_arrays()
    terms = resolved.terms() if resolved is not None else ()
    return _flashc.reference(q, k, v, terms, scale, softcap, bias, score_mod, mask_mod, layout)
