"""One request, decided by the decider in a trial and taken apart: what `ratelimit explain` shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from ratelimit.clock import ManualClock
from ratelimit.clustering.amendment import amendment_of
from ratelimit.conduct.lowered import falls
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.decider import actor_in
from ratelimit.decision import VERDICTS, Reason, cluster_name
from ratelimit.identity.fact import REFUSED
from ratelimit.inspection import formatting
from ratelimit.inspection.access.attachment import attach
from ratelimit.inspection.access.server import server_of
from ratelimit.inspection.actors.evidence import Source
from ratelimit.inspection.actors.membership import Membership, RecordRecognition, in_evidence, on_this_host
from ratelimit.inspection.acts.held import acts_held, listing
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.inspection.requests.decision import (
    LimitLine,
    MatchFacts,
    decisive,
    identity_lines,
    limit_lines,
)
from ratelimit.inspection.requests.explaining import Question, all_looking, makers_of
from ratelimit.inspection.requests.route_limits import matched_of
from ratelimit.inspection.requests.trial import Trial
from ratelimit.lab.records import Fields, RecordFacts, carried, numbers_of, shared, time_ns
from ratelimit.policy import Policy
from ratelimit.policy.compile.compiled import CompiledPolicy
from ratelimit.policy.routing.request_line import path_of, read_line
from ratelimit.policy.schema.model import Event
from ratelimit.runtime.features import Bystander
from ratelimit.stores.acts.act import Act
from ratelimit.stores.acts.kinds import Effect
from ratelimit.stores.contract import Store
from ratelimit.stores.factory import private_store
from ratelimit.usage.explanation import Source as GuessSource
from ratelimit.waiting.compile import wait_ns_of
from ratelimit.waiting.explanation import wait_of

if TYPE_CHECKING:
    from ratelimit.stores.redis.store import RedisStore


def fields_of(compiled: CompiledPolicy) -> Fields:
    """Return the fields that a request of this policy may have, as in a trace."""
    return Fields([*carried(compiled), *shared(compiled)], compiled.units[1:], numbers=numbers_of(compiled))


def limit_json(line: LimitLine, guessed: GuessSource | None = None) -> dict[str, Any]:
    """Return it for machines."""
    verdict = line.verdict
    found: dict[str, Any] = {"limit": line.rule.name, "applies": verdict is not None}
    if verdict is None:
        return {**found, "why_not": line.why_not}
    wait_ns = verdict.retry_after_ns
    return {
        **found,
        "counter": line.key,
        "allowed": verdict.allowed,
        "shadow": verdict.shadow,
        "action": verdict.action,
        "binds": not line.rule.is_twin,
        "adaptive": falls(line.rule),
        "factor": verdict.factor,
        "step": verdict.step,
        "wait": wait_ns_of(line.rule) / 1e9 or None,
        "unit": verdict.unit,
        "cost": verdict.cost,
        "estimated": guessed,
        "remaining": verdict.remaining,
        "reset_after": verdict.reset_after_ns / 1e9,
        "retry_after": None if wait_ns is None or verdict.allowed else wait_ns / 1e9,
        "never": wait_ns is None,
    }


class Explained:
    """One request, decided and taken apart.

    Args:
        policy: the policy.
        record: the request.
        repeat: so many such requests come one after another; this is the last.
        event: the event of a WebSocket, or a request.
        live: whether the running counters are asked; nothing is charged then.
        evidence: returns what actors are looked for in, beside this host's own.
        asked: the limits that the request's route uses by name.

    Raises:
        InspectionFailure: the request's time cannot be, or no worker runs.
    """

    def __init__(
        self,
        policy: Policy,
        record: Any,
        repeat: int,
        event: Event,
        live: bool,
        evidence: Callable[[], Source | None],
        asked: Sequence[str] = (),
    ) -> None:
        compiled, fields = policy.compiled, fields_of(policy.compiled)
        self.record = record
        self.units = [(unit, getattr(record, fields.attribute[unit])) for unit in compiled.units[1:]]
        try:
            self.now_ns = time_ns(record.time)
        except ValueError as error:
            raise InspectionFailure(f"the request cannot be read: {error}", "input") from error
        self.method, target = read_line(record.method, record.path)
        self.path = path_of(target)
        self.policy = policy
        self.repeat = repeat
        self.is_live = live
        acts: tuple[Act, ...] = ()
        source: Source | None = None
        membership: Membership | None = None
        with ExitStack() as stack:
            store: Store
            server: RedisStore | None = None
            if live:
                if compiled.remote is None:
                    store = attach(policy, takes_seat=True)
                    membership = stack.enter_context(on_this_host(compiled, store))
                else:
                    store = server = server_of(policy)
                    source = evidence()
                self.now_ns = store.clock.now_ns()
                acts = acts_held(policy, store.hasher.key, self.now_ns)
                repeat = 0
            else:
                store, source = private_store(policy, ManualClock(self.now_ns)), evidence()
            stack.callback(store.close)
            if source is not None:
                membership = in_evidence(source, fields)
            amendment = amendment_of(compiled, acts)
            looking = all_looking(policy, store, stack, is_live=live)
            bystander = Bystander(store.clock, makers_of(looking))
            bound = BoundPolicy(
                compiled,
                store,
                self.now_ns,
                diagnose=lambda code: None,
                is_asked=bool(asked),
                amendment=amendment,
                features=bystander.parts.makers,
            )
            matched = matched_of(bound, self.method, target, event, asked, policy.path)
            row = RecordFacts(bound, fields).identities(record, matched)
            if membership is not None:
                bound.recognition = RecordRecognition(membership, record, matched)
            trial = Trial(bound, matched, row, self.units, self.now_ns, server, store.table if live else None)
            self.guessed = trial.guessed
            for _ in range(repeat - 1):
                trial.decide(charge=True).release()
            self.decision = trial.decide(charge=not live)
            self.way = [one for one in trial.way if one.stage != "compiled"]
            self.wait = wait_of(self.decision)
            effect: Effect = "denied" if self.decision.reason is Reason.DENY_LIST else "allowed"
            self.act = listing(compiled, acts, row, effect)
            actor, certainty = actor_in(bound, row)
            self.cluster, self.verdict = cluster_name(actor), VERDICTS[certainty]
            self.template = matched.template
            plan = matched.plan_for(row)
            self.missing = [
                compiled.identities[at].name
                for at in (() if plan is None else plan.required)
                if row[at] == REFUSED
            ]
            found_in = None if membership is None else membership.name
            self.identities = identity_lines(
                bound, matched, fields, record, row, found_in, is_asked=bool(asked)
            )
            self.untold = decisive(bound, matched, row, self.decision, self.identities) if live else []
            """Identities that only the application knows, and that decide this."""
            seen = MatchFacts(self.method, target, event)
            self.limits = limit_lines(bound, matched, row, self.decision, seen)
            question = Question(bound, matched, row, self.now_ns, self.limits)
            self.said = [said for each in looking for said in each.said(question)]
            self.has_room = all(each.has_room for each in looking)

    def limits_json(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Return the same for machines."""
        return [
            limit_json(line, self.guessed.get(line.rule.name))
            for line in self.limits
            if line.rule.name in names and line.verdict is not None
        ]

    def lacking(self) -> str:
        """Return what the request would have to say for the identities that are missing."""
        names = {spec.name: spec for spec in self.policy.compiled.identities}
        wanted = ["ip" if names[name].is_address else name for name in self.missing]
        return " ".join(f"`{word}=…`" for word in dict.fromkeys(wanted))

    def as_json(self, reveal: bool) -> dict[str, Any]:
        """Return it for machines."""
        decision = self.decision
        wait_ns = decision.retry_after_ns
        return {
            "method": self.method,
            "path": self.path,
            "template": self.template or None,
            "time": formatting.iso(self.now_ns),
            "identities": [
                {
                    "name": line.name,
                    "hash": line.hash,
                    "source": line.source,
                    **({"given": line.given} if reveal else {}),
                }
                for line in self.identities
            ],
            "limits": [limit_json(line, self.guessed.get(line.rule.name)) for line in self.limits],
            "stages": [one.as_json() for one in self.way],
            "cluster": self.cluster,
            "verdict": self.verdict,
            "action": "unknown" if self.untold else decision.action,
            "untold": self.untold,
            "reason": decision.reason.value,
            "limit": decision.limit,
            "act": None if self.act is None else self.act.label,
            "act_by": None if self.act is None else self.act.by,
            "missing": self.missing if decision.reason is Reason.IDENTITY else [],
            "waits": None if self.wait is None or self.wait.is_in_vain else self.wait.most_ns / 1e9,
            **{name: data for name, _, data in self.said},
            "retry_after": None if wait_ns is None or decision.allowed else wait_ns / 1e9,
        }
