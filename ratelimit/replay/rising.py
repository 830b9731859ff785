"""Steep rises in a trace: which requests would have been held, and for how long."""

from __future__ import annotations

from mmap import mmap

from ratelimit.conduct.compile import Ramp
from ratelimit.conduct.ramps import Ramps
from ratelimit.core.sharing.conduct import ConductMemory, conduct_bytes
from ratelimit.replay.prepared import ALLOWED, let_wait


class Rising:
    """The rises of a trace's accounts.

    Args:
        spec: what the policy says; None: nothing is held.
    """

    def __init__(self, spec: Ramp | None) -> None:
        self.ramps: Ramps | None = None
        """What tells how steep a rise is; None where nothing is held."""
        if spec is not None:
            memory = ConductMemory(mmap(-1, conduct_bytes()), boot_id=b"", fingerprint=bytes(16))
            self.ramps = Ramps(spec, memory, None)
        self.held = 0
        """Requests that were held, or in shadow would have been."""

    def line(self, account: int, now_ns: int) -> bytes:
        """Return what is written of a request if limits let it through.

        It is decided at the instant that it came, as if it had been held before.
        """
        if self.ramps is None:
            return ALLOWED
        held_ns = self.ramps.delay_ns(account, now_ns)
        self.held += held_ns > 0
        return let_wait(None, held_ns) if held_ns and not self.ramps.is_shadow else ALLOWED
