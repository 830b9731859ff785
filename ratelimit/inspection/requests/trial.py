"""One request put to the decider by a person: nothing is counted, and no worker hears of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ratelimit.clock import ManualClock
from ratelimit.core.memory.table import Table
from ratelimit.deciding.bound_policy import BoundPolicy, Matched
from ratelimit.deciding.charge import Charge
from ratelimit.deciding.decider import AskAway, Decider, ask_away
from ratelimit.deciding.stage import Bound, Rest
from ratelimit.decision import Decision, Reason
from ratelimit.errors import StoreError
from ratelimit.inspection.access.server import no_answer
from ratelimit.inspection.requests.recorder import Passed, Recorder
from ratelimit.usage.explanation import Source, costs_of

if TYPE_CHECKING:
    from ratelimit.stores.redis.store import RedisStore


class Trial:
    """Decides one request as often as it is told to, with the decider that workers use.

    Args:
        bound: the policy; its `recognition` knows the request's cluster.
        matched: what of it applies.
        row: the request's identities. Its cluster is put in.
        units: what it costs, by unit; None for what is not known.
        now_ns: when.
        server: what keeps the limits; None where they are in memory.
        table: what the workers counted, for estimates that only they know; None where it is not at hand.
    """

    def __init__(
        self,
        bound: BoundPolicy,
        matched: Matched,
        row: list[int],
        units: Iterable[tuple[str, int | None]],
        now_ns: int,
        server: RedisStore | None = None,
        table: Table | None = None,
    ) -> None:
        self._bound = bound
        self._matched = matched
        self._row = row
        known = {unit: amount for unit, amount in units if amount is not None}
        costs = costs_of(matched, row, known, table, now_ns)
        self._costs: Mapping[str, int] | tuple[int, ...] = known if costs is None else costs.by_rule
        self.guessed: Mapping[str, Source] = {} if costs is None else costs.guessed
        """Rules, by name, with an estimate that is not known here, and what stands in for it."""
        self._now_ns = now_ns
        self._server = server
        away: AskAway = ask_away
        if server is not None:
            # Imported here: an event loop is loaded only where there is a server to ask.
            from ratelimit.inspection.access.asking import ask_patiently

            away = ask_patiently(server)
        self._decider = Decider(self, ask_away=away, chain=self._recorded)
        self.way: Sequence[Passed] = ()
        """The stages that the request passed when it was decided last."""

    @property
    def counters(self) -> Trial:
        """The counter of decisions: this, which does not count."""
        return self

    def decided(self, allowed: bool, reason: Reason) -> None:
        """Count nothing."""

    def keep_up(self, now_ns: int) -> None:
        """Keep nothing up: this is no worker."""

    def store_failed(self, error: StoreError) -> None:
        """Say so, in place of a limit's stance.

        Raises:
            InspectionFailure: a server keeps the limits.
            StoreError: memory does.
        """
        if self._server is None:
            raise error
        raise no_answer(self._server.spec.url, error) from error

    def _recorded(self, bound: Bound) -> Rest:
        recorder = Recorder()
        self.way = recorder.passed
        return recorder.chain(bound)

    def decide(self, *, charge: bool) -> Decision:
        """Return what is decided; `charge`: take it from the limits, too.

        Raises:
            InspectionFailure: a server keeps the limits and does not answer in time.
        """
        asked = (self._bound, self._matched, self._row, self._now_ns, self._costs)
        if self._server is not None:
            from ratelimit.inspection.access.asking import answer_to  # as above

            decided = answer_to(self._decider.adecide(*asked, charge=False))
        else:
            decided = self._decider.decide(*asked, charge=charge)
        allowed, reason, plan, outcome = decided
        clock = ManualClock(self._now_ns)
        return Decision(
            allowed, reason, None if plan is None or outcome is None else Charge(plan, outcome, clock)
        )
