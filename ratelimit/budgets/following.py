"""The sender of events on used budgets: one for each share, whichever worker and host noted it first.

Theory of operation. A request only notes what it crossed, in its worker. The thread that follows the
operator's acts claims each share of a counter and window in a record that all workers share: in the memory of
the host, or on the server of several hosts. The one that claims it first tells. So nothing is told twice. A
worker that is killed between claim and event, or before its thread looks, leaves a share untold.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ratelimit.budgets.compile import shares_of
from ratelimit.budgets.stage import BudgetPart
from ratelimit.core.algorithms.rule import Rule
from ratelimit.errors import StoreError
from ratelimit.limiter import Limiter
from ratelimit.worker.events.reporter import Reporter

if TYPE_CHECKING:
    from ratelimit.budgets.server import ServerClaims

MOST_CLAIMED = 200
"""In one call."""
COUNTER = "notified"
_NS = 10**9


class BudgetFollower:
    """Tells what customers of one limiter crossed, and holds on to no limiter."""

    def __init__(self) -> None:
        self._server: ServerClaims | None = None

    def look(self, limiter: Limiter, reporter: Reporter) -> None:
        """Tell what crossed since the last look, as far as there is room to tell it."""
        waiting = limiter.runtime.part(BudgetPart).crossed.waiting
        room = reporter.room
        while waiting and room > 0:
            taken = [waiting.popleft() for _ in range(min(len(waiting), MOST_CLAIMED, max(1, room // 8)))]
            claims = [(each, share) for each in taken for share in range(each[3], each[4])]
            try:
                mine = self._claimed(limiter, claims)
            except StoreError:  # the limits' store says that it is away
                waiting.extendleft(reversed(taken))
                return
            for (each, share), is_mine in zip(claims, mine, strict=True):
                if is_mine:
                    self._tell(limiter, reporter, each, share)
            room = reporter.room

    def disconnect(self) -> None:
        """Let go of the server."""
        if self._server is not None:
            with suppress(StoreError):
                self._server.close()

    def _claimed(self, limiter: Limiter, claims: list[tuple[Any, int]]) -> list[bool]:
        now_ns = limiter.now_ns()
        remote = limiter.policy.compiled.remote
        if remote is None:
            return [self._claimed_here(limiter, each, share, now_ns) for each, share in claims]
        if self._server is None:
            # Its client library is not there for every policy.
            from ratelimit.budgets.server import ServerClaims

            self._server = ServerClaims(remote)
        return self._server.claim(
            [(each[1], each[2], share, each[2] * 1000 - now_ns // 10**6) for each, share in claims]
        )

    def _claimed_here(self, limiter: Limiter, each: Any, share: int, now_ns: int) -> bool:
        """Claim a share in this host's memory: the one unit of a bucket that is full again after a period."""
        algorithm = "token-bucket" if each[8] else "lifetime"
        rule = Rule(COUNTER, algorithm, quota=1, period_ns=each[8], salt=limiter.store.hasher.tuple(b"told"))
        plan: Any = limiter.store.plan([rule], [(0, 1, 2)])
        return bool(plan.decide([each[1], each[2], share], now_ns).allowed)

    def _tell(self, limiter: Limiter, reporter: Reporter, each: Any, share: int) -> None:
        name, _, end_s, _, _, used, most, who, period_ns = each
        rule = next((rule for rule in limiter.policy.compiled.rules if rule.name == name), None)
        spec = None if rule is None else shares_of(rule)
        if rule is None or spec is None or share >= len(spec.shares):
            return  # a reload took it away
        identities = limiter.policy.compiled.identities
        reporter.tell(
            "budget-used",
            limiter.now_ns(),
            limit=name,
            per=identities[rule.per[0]].name,
            caller=f"{who:016x}",
            share=spec.shares[share],
            used=used,
            of=most,
            unit=rule.unit,
            until=end_s if period_ns else None,
        )
