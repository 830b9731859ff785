"""The end of a request that holds something: given back exactly once, however it ends.

What ends an exchange: the application returns, raises, or is cancelled because the
client hung up. All three leave `run_holding` the same way, and the core's release is
idempotent, so an application that released by itself is not released twice.

Only concurrency slots are given back here. Units that the application has not
settled keep their estimate: an exception is no proof that no work was done, and a
client that could provoke one would otherwise work for free.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from ratelimit.clock import Clock
from ratelimit.core.engine import Outcome


async def run_holding(
    app: ASGIApp, scope: Scope, receive: Receive, send: Send, outcome: Outcome, clock: Clock
) -> None:
    """Run the application and free the outcome's slots when it has ended."""
    try:
        await app(scope, receive, send)
    finally:
        # No await in here: a cancellation cannot interrupt it.
        outcome.release(clock.now_ns())
