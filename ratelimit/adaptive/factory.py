"""An admission by the words of a policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ratelimit.adaptive.admission import Admission
from ratelimit.adaptive.aimd import Aimd
from ratelimit.adaptive.controller import Controller, Settings
from ratelimit.adaptive.first_byte import FirstByte
from ratelimit.adaptive.gradient2 import Gradient2
from ratelimit.adaptive.saturation import Saturation
from ratelimit.adaptive.vegas import Vegas

ALGORITHMS: Mapping[str, Callable[[Settings], Controller]] = {
    "first-byte": FirstByte,
    "aimd": Aimd,
    "gradient2": Gradient2,
    "vegas": Vegas,
}


def make_admission(algorithm: str, settings: Settings) -> Admission:
    """Return the admission of a route group, with nothing in flight."""
    return Admission(
        ALGORITHMS[algorithm](settings),
        floor=settings.floor,
        step_ns=settings.step_ns,
        saturation=Saturation(settings.floor),
    )
