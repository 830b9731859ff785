"""The numbers of a controller."""

from __future__ import annotations

from dataclasses import dataclass

SECOND_NS = 10**9


@dataclass(frozen=True, slots=True)
class Settings:
    """The operator's settings, and the period of the steps.

    Args:
        first_byte_ns: the target of the time to the first byte; None: it is learned.
        floor: requests in flight that always have room.
        start: requests that may be in flight before anything was observed.
        ceiling: requests in flight beyond which nothing has room.
        step_ns: time between two looks at the load.

    Raises:
        ValueError: floor, start and ceiling are not in this order from 1, or a time is not positive.
    """

    first_byte_ns: int | None = SECOND_NS
    floor: int = 4
    start: int = 20
    ceiling: int = 400
    step_ns: int = SECOND_NS // 10

    def __post_init__(self) -> None:
        if not 1 <= self.floor <= self.start <= self.ceiling:
            raise ValueError("1 <= floor <= start <= ceiling does not hold")
        if self.step_ns < 1 or (self.first_byte_ns is not None and self.first_byte_ns < 1):
            raise ValueError("a time is not positive")
