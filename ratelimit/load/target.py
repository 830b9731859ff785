"""Target of a limit that follows the load: whether there is one, and the controller's numbers for it.

What looks at a limit of this host loads none of what enforces it: no queue, no event loop.
"""

from __future__ import annotations

from ratelimit.core.sharing.inflight import InFlight
from ratelimit.core.sharing.steering import Steering
from ratelimit.load.compile import AdaptiveSpec
from ratelimit.load.model.settings import Settings


def has_target(spec: AdaptiveSpec, flight: InFlight) -> bool:
    """Return whether a target is given, or learned; nothing is enforced on a guess."""
    return spec.first_byte_ns is not None or (not flight.closed and Steering(flight).target_ns > 0)


def settings_of(spec: AdaptiveSpec) -> Settings:
    """Return a controller's numbers by a policy."""
    return Settings(spec.first_byte_ns, spec.floor, spec.start, spec.ceiling)
