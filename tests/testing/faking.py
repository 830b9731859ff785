"""The libraries that tests of applications fake time with, each as it is used."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

import freezegun
import hiro
import time_machine

PAST, FUTURE = datetime(2012, 12, 12, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC)
Fake = Callable[[], AbstractContextManager[Any]]

FAKES: dict[str, Fake] = {
    "hiro": hiro.Timeline,
    "hiro, frozen": lambda: hiro.Timeline().freeze(),
    "hiro, long ago": lambda: hiro.Timeline(start=PAST.timestamp()),
    "hiro, a hundred times as fast": lambda: hiro.Timeline(scale=100),
    "freezegun, long ago": lambda: freezegun.freeze_time(PAST.replace(tzinfo=None)),
    "freezegun, far ahead, ticking": lambda: freezegun.freeze_time(FUTURE.replace(tzinfo=None), tick=True),
    "time-machine, long ago": lambda: time_machine.travel(PAST, tick=False),
    "time-machine, far ahead, ticking": lambda: time_machine.travel(FUTURE, tick=True),
}


def faked(name: str) -> AbstractContextManager[Any]:
    """Return a block in which time is faked."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return FAKES[name]()
