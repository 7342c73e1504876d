"""Masks: which keys a query attends.

A mask has a text in the one grammar that the IR, the tools and Python share, which is static, and arrays, which are
operands of a call. Masks are joined by ``&``:

>>> str(causal("bottom_right") & window(127, 0))
'causal(bottom_right) & window(127,0,bottom_right)'
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from . import _flashc

ALIGNMENTS = ("top_left", "bottom_right")

_INTEGERS = ("i32", "i64")
_FLAGS = ("bool", "i8")


@dataclass(frozen=True)
class _Arrays:
    """What a mask's arrays hold."""

    names: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    shape: str = ""
    ranks: tuple[int, ...] = ()


_ARRAYS = {
    "causal": _Arrays(),
    "window": _Arrays(),
    "key_lengths": _Arrays(("lengths",), _INTEGERS, "(batch,)", (1,)),
    "key_padding": _Arrays(("flags",), _FLAGS, "(batch, keys)", (2,)),
    "prefix_lm": _Arrays(("lengths",), _INTEGERS, "(batch,)", (1,)),
    "segments": _Arrays(("query ids", "key ids"), _INTEGERS, "(batch, length)", (2,)),
    "tensor": _Arrays(("mask",), _FLAGS, "broadcastable to (batch, heads, queries, keys)", (0, 1, 2, 3, 4)),
}


def _check_alignment(name: str, alignment: object) -> str:
    if alignment not in ALIGNMENTS:
        raise ValueError(f"{name}: expected alignment 'top_left' or 'bottom_right', got {alignment!r}")
    return str(alignment)


def _check_width(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"window: expected {name} to be an integer, got {type(value).__name__}")
    if value < -1:
        raise ValueError(f"window: expected {name} to be -1 (unbounded) or at least 0, got {value}")
    return value


@dataclass(frozen=True)
class Clause:
    """One mask of a conjunction: its name and parameters, which are static, and its arrays."""

    name: str
    parameters: tuple[Any, ...] = ()
    arrays: tuple[Any, ...] = field(default=(), compare=False)
    #: Element types of the arrays, known without them.
    dtypes: tuple[str, ...] = ()

    def text(self) -> str:
        return f"{self.name}({','.join(map(str, self.parameters))})" if self.parameters else self.name


class Mask:
    """A conjunction of masks. Immutable; two are equal when their static parts are, whatever their arrays hold."""

    __slots__ = ("_text", "arrays", "clauses")

    def __init__(self, clauses: tuple[Clause, ...]) -> None:
        self.clauses = clauses
        #: The operands of a call, in the order of the text.
        self.arrays = tuple(array for clause in clauses for array in clause.arrays)
        self._text: str | None = None

    def __and__(self, other: object) -> Mask:
        if not isinstance(other, Mask):
            return NotImplemented
        return Mask(self.clauses + other.clauses)

    def _resolved(self) -> tuple[Clause, ...]:
        """The clauses with every alignment stated: a window without one takes that of the masks it is joined with."""
        stated = sorted({clause.parameters[-1] for clause in self.clauses if clause.parameters} - {None})
        clauses = []
        for clause in self.clauses:
            if clause.parameters and clause.parameters[-1] is None:
                if len(stated) != 1:
                    raise ValueError(
                        f"{clause.name}: expected alignment 'top_left' or 'bottom_right', as the masks beside it state "
                        + (" and ".join(stated) if stated else "none")
                    )
                clause = Clause(clause.name, (*clause.parameters[:-1], stated[0]), clause.arrays, clause.dtypes)
            clauses.append(clause)
        return tuple(clauses)

    @property
    def text(self) -> str:
        """The static part, in the grammar of ``--mask``."""
        if self._text is None:
            self._text = " & ".join(clause.text() for clause in self._resolved())
        return self._text

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The element types of the arrays, in the order of the text."""
        return tuple(dtype for clause in self.clauses for dtype in clause.dtypes)

    def terms(self) -> tuple[tuple[str, tuple[Any, ...], tuple[Any, ...]], ...]:
        """(name, parameters, arrays) of each clause, alignments resolved."""
        return tuple((clause.name, clause.parameters, clause.arrays) for clause in self._resolved())

    def check_arrays(self) -> None:
        """Raises when a clause lacks its arrays, which a call needs and a compilation does not."""
        for clause in self.clauses:
            names = _ARRAYS[clause.name].names
            if len(clause.arrays) != len(names):
                raise TypeError(f"{clause.name}: expected {len(names)} arrays ({', '.join(names)}), got none")

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<flashc.Mask {' & '.join(clause.text() for clause in self.clauses)}>"

    def __eq__(self, other: object) -> bool:
        return self.clauses == other.clauses if isinstance(other, Mask) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.clauses)


def _clause(name: str, parameters: tuple[Any, ...], arrays: tuple[Any, ...], dtype: str | None) -> Mask:
    """A mask of one clause. Without arrays it describes what a kernel is compiled for; then `dtype` is theirs."""
    expected = _ARRAYS[name]
    given = tuple(array for array in arrays if array is not None)
    if len(given) not in (0, len(expected.names)):
        names = ", ".join(expected.names)
        raise TypeError(f"{name}: expected {len(expected.names)} arrays ({names}) or none, got {len(given)}")
    if not given:
        chosen = dtype or expected.dtypes[0]
        if chosen not in expected.dtypes:
            raise ValueError(f"{name}: expected dtype {' or '.join(expected.dtypes)}, got {chosen!r}")
        return Mask((Clause(name, parameters, (), (chosen,) * len(expected.names)),))
    dtypes = []
    for array, what in zip(given, expected.names):
        element, shape, _, _ = _flashc.inspect(array, f"{name}: {what}")
        if element not in expected.dtypes:
            hint = "; a floating-point mask is added to the scores as bias=" if name == "tensor" else ""
            allowed = " or ".join(expected.dtypes)
            raise TypeError(f"{name}: expected {what} of element type {allowed}, got {element}{hint}")
        if len(shape) not in expected.ranks:
            raise ValueError(f"{name}: expected {what} of shape {expected.shape}, got {shape}")
        dtypes.append(element)
    return Mask((Clause(name, parameters, given, tuple(dtypes)),))


def causal(alignment: str) -> Mask:
    """No key after the query.

    ``top_left``: ``j <= i``, as PyTorch's scaled_dot_product_attention; ``bottom_right``: ``j <= i + Sk - Sq``, as
    FlashAttention. There is no default: the two differ whenever there are more keys than queries.
    """
    return Mask((Clause("causal", (_check_alignment("causal", alignment),)),))


def window(left: int, right: int, alignment: str | None = None) -> Mask:
    """Only keys at most `left` before and `right` after the diagonal; -1 is unbounded.

    Without an alignment it takes that of the mask it is joined with.
    """
    if alignment is not None:
        _check_alignment("window", alignment)
    return Mask((Clause("window", (_check_width("left", left), _check_width("right", right), alignment)),))


def key_lengths(lengths: Any = None, *, dtype: str | None = None) -> Mask:
    """Only the first ``lengths[b]`` keys of batch entry b; `lengths` holds integers, one a batch entry."""
    return _clause("key_lengths", (), (lengths,), dtype)


def key_padding(flags: Any = None, *, dtype: str | None = None) -> Mask:
    """Only keys whose flag in `flags`, (batch, keys), is true."""
    return _clause("key_padding", (), (flags,), dtype)


def prefix_lm(lengths: Any = None, alignment: str | None = None, *, dtype: str | None = None) -> Mask:
    """Causal, but for the first ``lengths[b]`` keys, which every query attends."""
    return _clause("prefix_lm", (_check_alignment("prefix_lm", alignment),), (lengths,), dtype)


def segments(query_ids: Any = None, key_ids: Any = None, *, dtype: str | None = None) -> Mask:
    """Only keys of the query's own segment: ``query_ids[b, i] == key_ids[b, j]``.

    One array serves both where there are as many keys as queries.
    """
    if query_ids is not None and key_ids is None:
        key_ids = query_ids
    return _clause("segments", (), (query_ids, key_ids), dtype)


def tensor(mask: Any = None, *, dtype: str | None = None) -> Mask:
    """Any boolean tensor that broadcasts to (batch, heads, queries, keys); true is attended."""
    return _clause("tensor", (), (mask,), dtype)


_TERM = re.compile(r"([a-z_]+)\s*(?:\(([^()]*)\))?")


def _parse_term(term: str) -> Mask:
    match = _TERM.fullmatch(term)
    if not match or match[1] not in _ARRAYS:
        raise ValueError(f"mask: expected one of {', '.join(_ARRAYS)}, got {term!r}")
    name = match[1]
    arguments = [part.strip() for part in match[2].split(",")] if match[2] else []
    if name == "window":
        try:
            left, right = int(arguments[0]), int(arguments[1])
        except (ValueError, IndexError):
            raise ValueError(f"mask: expected window(left,right,alignment) with integers, got {term!r}") from None
        if len(arguments) > 3:
            raise ValueError(f"mask: expected window(left,right,alignment), got {term!r}")
        return window(left, right, *arguments[2:])
    if name in ("causal", "prefix_lm"):
        if len(arguments) != 1:
            raise ValueError(f"mask: expected {name}(top_left) or {name}(bottom_right), got {term!r}")
        return causal(arguments[0]) if name == "causal" else prefix_lm(alignment=arguments[0])
    if arguments:
        raise ValueError(f"mask: expected {name} without arguments, got {term!r}")
    return _clause(name, (), (), None)


def parse(text: str) -> Mask:
    """The mask that a text of the grammar stands for, without arrays.

    >>> parse("causal(bottom_right) & window(127,0)").text
    'causal(bottom_right) & window(127,0,bottom_right)'
    """
    return Mask(tuple(clause for term in text.split("&") for clause in _parse_term(term.strip()).clauses))


def as_mask(mask: object) -> Mask | None:
    """The mask that an argument stands for: a Mask, a text of the grammar, or None."""
    if mask is None or isinstance(mask, Mask):
        return mask
    if isinstance(mask, str):
        return parse(mask) if mask.strip() else None
    raise TypeError(
        f"mask: expected a flashc mask, a text or None, got {type(mask).__name__}; "
        "an array of flags is flashc.tensor(array)"
    )
