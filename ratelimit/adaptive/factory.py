"""Controllers by the words of a policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ratelimit.adaptive.aimd import Aimd
from ratelimit.adaptive.controller import Controller, Settings
from ratelimit.adaptive.first_byte import FirstByte
from ratelimit.adaptive.gradient2 import Gradient2
from ratelimit.adaptive.vegas import Vegas

ALGORITHMS: Mapping[str, Callable[[Settings], Controller]] = {
    "first-byte": FirstByte,
    "aimd": Aimd,
    "gradient2": Gradient2,
    "vegas": Vegas,
}


def kind_of(algorithm: str) -> int:
    """Return the number under which the words of an algorithm are kept, from 1."""
    return 1 + list(ALGORITHMS).index(algorithm)


def make_controller(algorithm: str, settings: Settings) -> Controller:
    """Return a controller that has observed nothing."""
    return ALGORITHMS[algorithm](settings)
