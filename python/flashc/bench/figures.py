"""Medians and spreads of rounds."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from typing import Any


@dataclass
class Figure:
    """Work a second over rounds: the median and the quartiles, in units (GFLOP/s or GB/s) or, for calls, microseconds."""

    median: float
    low: float
    high: float
    rounds: int

    @property
    def spread(self) -> float:
        """The distance of the quartiles as a share of the median."""
        return (self.high - self.low) / self.median if self.median else 0.0

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "spread": self.spread}


def figure(values: list[float]) -> Figure:
    """Of one value a round.

    >>> figure([4.0, 1.0, 2.0, 3.0, 5.0])
    Figure(median=3.0, low=2.0, high=4.0, rounds=5)
    """
    if not values:
        raise ValueError("expected at least one round, got none")
    if len(values) == 1:
        return Figure(values[0], values[0], values[0], 1)
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return Figure(middle, low, high, len(values))


def rates(kind: str, work: float, seconds: list[float]) -> list[float]:
    """What a case's kind is told in: GFLOP/s, GB/s, or microseconds a call.

    >>> rates("dense", 2e9, [1.0, 2.0]), rates("tiny", 1.0, [2e-6])
    ([2.0, 1.0], [2.0])
    """
    if kind == "tiny":
        return [s * 1e6 for s in seconds]
    return [work / s * 1e-9 for s in seconds]


def advantage(kind: str, ours: float, theirs: float) -> float:
    """How many times faster ours is; rates are better when high, calls when low."""
    return theirs / ours if kind == "tiny" else ours / theirs
