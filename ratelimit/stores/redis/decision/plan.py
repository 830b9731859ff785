"""The rules of one kind of request, decided by the server, or here while it is away."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from ratelimit.algorithms import OF_SLOTS, OF_UNITS
from ratelimit.core.decision.engine import Outcome, Plan
from ratelimit.core.redis.remote import RemoteRules
from ratelimit.errors import StoreError
from ratelimit.stores.redis.decision.script import rule_texts
from ratelimit.stores.redis.decision.transfer import Transfer
from ratelimit.stores.redis.fallback.fair_share import MILLIONTHS, part_of

if TYPE_CHECKING:
    import asyncio

    from ratelimit.stores.contract import Outcome as OutcomeOfStore
    from ratelimit.stores.redis.protocols import PlanHost, ServerLink, ServerQuestion

_DESCRIBED_NS = 60_000_000_000
"""The time for which a description stands: calendars are listed around an instant."""


class RedisPlan:
    """The result of `Store.plan`: its decisions are awaited.

    Args:
        store: the one that made the plan.
        plan: of the host's own table, for keys, numbers and counters.
        stances: what each rule does while the server is away: "local", "open" or "closed".
        cost_positions: which of the costs given each rule counts.
    """

    __slots__ = (
        "_described_until_ns",
        "_has_slots",
        "_text",
        "core",
        "counting",
        "described",
        "free",
        "leased",
        "rules",
        "stances",
        "store",
    )

    decides_here: Literal[False] = False

    def __init__(
        self,
        store: PlanHost,
        plan: Plan,
        stances: Sequence[str],
        cost_positions: Sequence[int] | None = None,
    ) -> None:
        self.store = store
        self.core = plan
        self.stances = tuple(stances)
        self.free = [0] * (1 + max(cost_positions or [0]))
        """Costs of a look that asks for nothing."""
        self.counting = [index for index, rule in enumerate(plan.rules) if rule.algorithm in OF_UNITS]
        """Rules that count units."""
        self.rules = RemoteRules(plan, store.key_prefix, store.is_cluster)
        self.described: bytes | None = None
        """The rules as the script reads them; None where `describe` is asked, as one follows a calendar."""
        self._text = b""
        self._described_until_ns = 0
        self._has_slots = any(rule.algorithm in OF_SLOTS for rule in plan.rules)
        self.leased = None if store.leasing is None else store.leasing.rules_of(self)
        """Decides from leases, where the mode has them and all rules can be leased."""

    @property
    def remote(self) -> RedisPlan | None:
        """This, where each decision is one call."""
        return None if self.leased is not None or self.store.is_cluster else self

    def describe(self) -> bytes:
        """Return the rules as the script reads them, now."""
        now_ns = self.store.clock.now_ns()
        if now_ns >= self._described_until_ns:
            rules = self.rules.describe(now_ns)
            self._text = rule_texts(rules)
            self._described_until_ns = now_ns + _DESCRIBED_NS
            if not any(isinstance(rule[-1], list) for rule in rules):
                self.described = self._text
        return self._text

    def most_here(self, index: int, /) -> int:
        """Return the most that a rule holds here while the server is away."""
        return part_of(self.core.rules[index].burst, round(self.store.share * MILLIONTHS))

    def quotas_here(self, outcome: OutcomeOfStore, /) -> Sequence[int] | None:
        """Return the quotas by which this host decided while the server was away; None where it did."""
        return outcome.share_quotas if isinstance(outcome, Outcome) else None

    def adecide(
        self, identities: Sequence[int], now_ns: int, costs: Sequence[int] | None = None, /
    ) -> Coroutine[Any, Any, Outcome]:
        """Check every rule; charge all of them or none.

        Raises:
            StoreError: the server cannot decide, and no rule stands in for it.
        """
        return self._ask(identities, now_ns, costs, commit=True)

    def apeek(
        self, identities: Sequence[int], now_ns: int, costs: Sequence[int] | None = None, /
    ) -> Coroutine[Any, Any, Outcome]:
        """Return what `adecide` would; charge and count nothing."""
        return self._ask(identities, now_ns, costs, commit=False)

    async def _ask(
        self, identities: Sequence[int], now_ns: int, costs: Sequence[int] | None, *, commit: bool
    ) -> Outcome:
        store = self.store
        leased = self.leased
        if leased is not None:
            outcome = leased.take(identities, now_ns, costs, commit)
            if outcome is not None:
                return outcome
        try:
            batch_client = store.batch_client()
            if leased is not None:
                assert store.leasing is not None
                store.leasing.give_back_foreign(batch_client)
            outcome = await batch_client.ask(self, identities, costs, now_ns, commit=commit)
        except StoreError as error:
            return self.stand_in(identities, now_ns, costs, error, commit=commit)
        if commit:
            if leased is not None:
                leased.note(outcome, now_ns)
            store.decided(self, outcome, has_slots=self._has_slots)
        return outcome

    def begin(self, asking: ServerQuestion, /) -> asyncio.Future[None] | None:
        """Ask the server what compiled code has read of a request; None where that takes more than one call.

        Returns:
            What is done when `asking.outcome` says what was decided, or fails with a `StoreError`.
        """
        try:
            reply = self.store.batch_client().begin(self, asking)
        except StoreError:
            return None  # it is closed: `adecide` says so
        if reply is not None and self._has_slots:
            reply.add_done_callback(partial(self._hold, asking))
        return reply

    def _hold(self, asking: ServerQuestion, reply: asyncio.Future[None]) -> None:
        if not reply.cancelled() and reply.exception() is None and asking.outcome is not None:
            self.store.decided(self, asking.outcome, has_slots=True)

    def stand_in(
        self,
        identities: Sequence[int],
        now_ns: int,
        costs: Sequence[int] | None,
        error: StoreError,
        /,
        *,
        commit: bool = True,
    ) -> Outcome:
        """Decide while the server cannot, for that reason.

        Raises:
            StoreError: no rule stands in for it.
        """
        if "local" not in self.stances or "closed" in self.stances:
            raise error
        return self.store.decide_here(self, identities, now_ns, costs, error, commit=commit)

    def asked(self, batch_client: ServerLink, outcome: Outcome, now_ns: int) -> None:
        """Have leases asked for in the call that decides this, where they are worth while."""
        if self.leased is not None:
            assert self.store.leasing is not None
            self.store.leasing.join(batch_client, self.leased, outcome, now_ns)

    def correct(self, outcome: Outcome, index: int, delta: int) -> None:
        """Have a charge corrected (the outcome calls this): soon, and without waiting."""
        if self.leased is None or not self.leased.absorb(outcome, index, delta, self.store.clock.now_ns()):
            self.store.correct(self, outcome, index, delta)

    def correct_again(self, outcome: Outcome, index: int) -> None:
        """Have what a charge still owes corrected, after what was corrected before."""
        self.store.correct(self, outcome, index, 0)

    def lost(self) -> None:
        """Count a correction that did not reach the server."""
        self.store.tally.lost(1)

    def carry(self, source: Sequence[int], target: Sequence[int], now_ns: int, /) -> None:
        """Charge each rule under `target`'s key with what is used under `source`'s: soon, without waiting."""
        self.store.carry(Transfer(self, list(target), list(source)))

    def charge(self, identities: Sequence[int], costs: Sequence[int], times: int, now_ns: int, /) -> None:
        """Charge rules with requests made before, where there is no room for one more: soon, unawaited."""
        self.store.carry(Transfer(self, list(identities), list(identities), list(costs), times))
