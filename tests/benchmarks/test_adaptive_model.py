"""A real engine behind the gateway, in a short form: in time with a limit, and mostly late without one."""

from __future__ import annotations

import pytest

from benchmarks.adaptive.real.model import SHORT, play
from tests.support.engine import ENGINE

pytestmark = pytest.mark.skipif(not ENGINE.exists(), reason="`make gateway` installs the engine")


def test_adaptive_limit_keeps_a_real_engine_in_time() -> None:
    """The bounds are wide: a short run, in which the limit still learns."""
    found = play(25, [1], SHORT)
    (can, nothing), (more, limited) = (found[means.name] for means in SHORT)
    assert nothing.refused == 0 < limited.refused
    assert limited.in_time >= 0.4 * more
    assert nothing.in_time <= 0.25 * can
