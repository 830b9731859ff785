"""Contenders: for each algorithm as many settings, the best of which counts on other engines."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks.adaptive.aimd import Aimd
from benchmarks.adaptive.failsafe import Failsafe
from benchmarks.adaptive.gradient2 import Gradient2
from benchmarks.adaptive.peer import Peer
from benchmarks.adaptive.sketch import Sketch
from benchmarks.adaptive.vegas import Vegas
from ratelimit.load.model.controller import AnsweredRequest, Controller, Load, Settings
from ratelimit.load.model.first_byte import FirstByte

Make = Callable[[Settings], Controller]


class Fixed(Peer):
    """A limit that stays."""

    target_ns = 0
    places = None
    pressure = float("inf")

    def __init__(self, limit: int) -> None:
        self._limit = float(limit)

    def observe(self, answer: AnsweredRequest) -> int:
        """It does not look."""
        return 0

    def failed(self, admitted_ns: int, now_ns: int) -> None:
        """It does not look."""

    def step(self, now_ns: int, load: Load) -> None:
        """It does not look."""


class Told(Fixed):
    """A limit that an operator sets anew at each of some instants.

    Args:
        limits: the limits, one after the other.
        ends_ns: until when each is in force; the last one stays.
    """

    def __init__(self, limits: Sequence[int], ends_ns: Sequence[int]) -> None:
        super().__init__(limits[0])
        self._limits = limits
        self._ends_ns = ends_ns

    def step(self, now_ns: int, load: Load) -> None:
        """Take the limit of this instant."""
        self._limit = float(self._limits[min(bisect_right(self._ends_ns, now_ns), len(self._limits) - 1)])


@dataclass(frozen=True, slots=True)
class Contender:
    """An algorithm with its candidate settings; the first is the published or the default one."""

    name: str
    candidates: tuple[tuple[str, Make], ...]


def _ours(aim: float, smoothing: float) -> Make:
    return partial(FirstByte, aim=aim, smoothing=smoothing)


def _unlimited(_: Settings) -> Controller:
    return Fixed(10**6)


CONTENDERS = (
    Contender(
        "first byte (default)",
        (("0.75", _ours(0.75, 0.2)), ("0.7", _ours(0.7, 0.2)), ("0.8", _ours(0.8, 0.2))),
    ),
    Contender(
        "sketch",
        tuple((f"{aim}", partial(Sketch, aim=aim)) for aim in (0.8, 0.7, 0.9)),
    ),
    Contender(
        "aimd",
        tuple((f"{aim}", partial(Aimd, aim=aim)) for aim in (1.0, 0.8, 0.6)),
    ),
    Contender(
        "gradient2",
        tuple((f"{tolerance}", partial(Gradient2, tolerance=tolerance)) for tolerance in (1.5, 2.0, 3.0)),
    ),
    Contender(
        "vegas",
        tuple((f"{patience}", partial(Vegas, patience=patience)) for patience in (1.0, 2.0, 4.0)),
    ),
    Contender(
        "failsafe-go",
        tuple(
            (
                f"{low:g}-{high:g}",
                partial(Failsafe, alpha=low, beta=high),
            )
            for low, high in ((2.0, 4.0), (4.0, 8.0), (8.0, 16.0))
        ),
    ),
    Contender("no limit", (("", _unlimited),)),
)

GRID = (
    *(4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60, 66, 72, 80, 90),
    *(100, 115, 130, 160, 200, 400),
)
"""Fixed limits, of which the best counts for each phase and seed."""
