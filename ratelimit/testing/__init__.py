"""Tools for testing a limited application: counters of the test's own, and a clock that moves on command.

    def test_sixth_request_is_refused(ratelimit):       # a fixture of the pytest plugin
        ...
        ratelimit.advance(60)                           # a minute later
        ...
        ratelimit.reset()                               # as if nothing had been asked

With pytest every limiter counts in private memory, by itself: no run sees what another counted. Elsewhere:

    ratelimit = isolate()               # until the process ends
    with isolated() as ratelimit: ...
"""

from ratelimit.clock import ManualClock
from ratelimit.testing.isolation import Isolation, isolate, isolated
from ratelimit.testing.usage import read_usage

__all__ = ["Isolation", "ManualClock", "isolate", "isolated", "read_usage"]
