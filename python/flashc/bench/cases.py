"""What is measured: shapes, how their work is counted, and the named subsets."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

BYTES = {"f64": 8, "f32": 4, "bf16": 2, "f16": 2}
#: The keys that a query sees under the mask called "window", itself among them.
WINDOW = 512
#: Queries up to here are decoding: bound by reading K and V once.
DECODE_QUERIES = 16


@dataclass(frozen=True)
class Case:
    """One shape. `mask` is full, causal (aligned top left) or window (causal, and the last `WINDOW` keys alone)."""

    dtype: str
    head_dim: int
    queries: int
    keys: int
    mask: str = "full"
    batch: int = 1
    heads: int = 8
    key_heads: int = 8

    @property
    def kind(self) -> str:
        """tiny (the cost of a call, in microseconds), decode (GB/s of K and V) or dense (GFLOP/s)."""
        if self.batch * self.heads * self.queries * self.keys <= 1024:
            return "tiny"
        return "decode" if self.queries <= DECODE_QUERIES and self.keys > 8 * self.queries else "dense"

    @property
    def name(self) -> str:
        """Words that `select` matches; equal for equal cases."""
        heads = f"H{self.heads}" if self.heads == self.key_heads else f"H{self.heads}/{self.key_heads}"
        lengths = f"S{self.queries}" if self.queries == self.keys else f"Sq{self.queries} Sk{self.keys}"
        words = [self.dtype, f"B{self.batch}", heads, f"D{self.head_dim}", lengths, self.mask]
        return " ".join(words + ([self.kind] if self.kind != "dense" else []))

    @property
    def pairs(self) -> float:
        """Pairs of query and key that are counted: half of all of them under a causal mask, as the literature does."""
        if self.mask == "window":
            full, head = self.queries, min(WINDOW, self.keys)
            return min(full, head) * (min(full, head) + 1) / 2 + max(0, full - head) * head
        return self.queries * self.keys / (2 if self.mask == "causal" else 1)

    @property
    def flops(self) -> float:
        """2 B H pairs (D + Dv)."""
        return 2.0 * self.batch * self.heads * self.pairs * 2 * self.head_dim

    @property
    def key_bytes(self) -> float:
        """Bytes of K and V: what decoding has to read."""
        return 2.0 * self.batch * self.key_heads * self.keys * self.head_dim * BYTES[self.dtype]

    @property
    def work(self) -> float:
        """What a second is divided into: bytes for decoding, else FLOPs; one call where the call itself is measured."""
        return {"tiny": 1.0, "decode": self.key_bytes, "dense": self.flops}[self.kind]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> Case:
        return Case(**{field.name: data[field.name] for field in fields(Case)})


def square(dtype: str, head_dim: int, length: int, mask: str = "full", **shape: int) -> Case:
    return Case(dtype, head_dim, length, length, mask, **shape)


def yardstick_cells() -> Iterator[Case]:
    """The 16 cells that the hand-written program has, too."""
    for dtype in ("f32", "bf16"):
        for head_dim in (64, 128):
            for length in (1024, 4096):
                for mask in ("full", "causal"):
                    yield square(dtype, head_dim, length, mask)


def decode(dtypes: Iterable[str], lengths: Iterable[int], queries: Iterable[int] = (1,)) -> Iterator[Case]:
    """Grouped heads (32 on 8) and plain ones (8 on 8), D128."""
    for length in lengths:
        for count in queries:
            for dtype in dtypes:
                for heads in (32, 8):
                    yield Case(dtype, 128, count, length, heads=heads)


def vit(dtypes: Iterable[str]) -> Iterator[Case]:
    for dtype in dtypes:
        yield square(dtype, 64, 197, batch=64, heads=12, key_heads=12)
        yield square(dtype, 64, 32, batch=256, heads=12, key_heads=12)


def main_cells() -> Iterator[Case]:
    yield from yardstick_cells()
    for head_dim in (64, 128):
        yield square("f64", head_dim, 1024)
    yield square("f64", 64, 1024, "causal")
    yield from decode(("f32", "bf16", "f16"), (32768,))
    yield from vit(("f32", "bf16"))
    yield square("f32", 64, 16, heads=1, key_heads=1, batch=1)


def sweep_cells() -> Iterator[Case]:
    yield from main_cells()
    for length in (1024, 4096, 128, 512, 16384):
        for dtype in ("f32", "bf16", "f16", "f64"):
            for head_dim in (64, 80, 96, 128, 256):
                for mask in ("full", "causal", "window"):
                    if mask == "window" and length <= WINDOW:
                        continue
                    heads = 8 if length <= 4096 else 2
                    yield square(dtype, head_dim, length, mask, heads=heads, key_heads=heads)
    for dtype in ("f32", "bf16", "f16", "f64"):
        for mask in ("full", "causal"):
            yield square(dtype, 128, 1024, mask, heads=32, key_heads=8)
            for length in (17, 64, 197, 1000):
                yield square(dtype, 64, length, mask)
    yield from decode(("f32", "bf16", "f16"), (1024, 4096, 16384, 131072), (1, 4))
    yield from vit(("f16", "f64"))
    for dtype in ("f32", "bf16", "f16"):
        yield square(dtype, 80, 257, batch=16, heads=16, key_heads=16)


SUBSETS = {"main": main_cells, "sweep": sweep_cells, "yardstick": yardstick_cells}


def select(subset: str, pattern: str = "") -> list[Case]:
    """A subset's cases, each once, that a pattern picks.

    A pattern is alternatives parted by commas; each is words, all of which the case's name has to hold. A word may hold the
    wildcards of file names.

    >>> [case.name for case in select("main", "f64 causal, B64 f32")]
    ['f64 B1 H8 D64 S1024 causal', 'f32 B64 H12 D64 S197 full']
    """
    if subset not in SUBSETS:
        raise ValueError(f"expected one of {', '.join(SUBSETS)}, got {subset!r}")
    cases = list(dict.fromkeys(SUBSETS[subset]()))
    alternatives = [words for words in (part.split() for part in pattern.split(",")) if words]
    if not alternatives:
        return cases
    return [case for case in cases if any(matches(case.name, words) for words in alternatives)]


def matches(name: str, words: list[str]) -> bool:
    parts = name.split()
    return all(any(fnmatch.fnmatchcase(part, word) for part in parts) for word in words)
