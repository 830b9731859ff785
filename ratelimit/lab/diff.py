"""Two policies decide the same requests: which come out otherwise, by which limit, of which caller.

Each policy replays the trace by itself, against a store of its own. What they said is compared decision by
decision, and only of those that differ is the caller asked for.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from ratelimit.allowance.history import History
from ratelimit.features.steps import STEPS
from ratelimit.lab.records import RecordFacts, fields_of
from ratelimit.lab.replay import LimitTally, Memo, replay_of
from ratelimit.lab.traces import Batch
from ratelimit.parsing.json import JsonReader
from ratelimit.policy import Policy
from ratelimit.policy.compile.compiled import LimitRule

Way = Literal["refused", "admitted"]
OTHERS = "others"
"""The class of callers with a plan that the policy does not name."""
_MOST_ACTORS = 10_000
_ADMITTED = tuple(
    f'{{"action": "{action}"'.encode() for action in ("allow", *(step.name for step in STEPS if step.goes_on))
)


class Decision(msgspec.Struct):
    """One line of a replay's decisions."""

    action: str
    limit: str | None = None
    cluster: str | None = None
    verdict: str | None = None


_read = JsonReader(Decision).read


@dataclass(slots=True)
class Change:
    """Requests that come out otherwise, one way."""

    requests: int = 0
    limits: dict[str, LimitTally] = field(default_factory=dict)
    """By the limit that refuses: the new policy's of those newly refused, else the old one's."""
    unnamed: int = 0
    """Those that no limit decides: lists, identities that are insisted on."""
    classes: Counter[str] = field(default_factory=Counter)
    actors: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By actor and verdict."""

    @property
    def by_number(self) -> list[tuple[str, LimitTally]]:
        """The limits, those that decide most first."""
        return sorted(self.limits.items(), key=lambda item: -item[1].refused)


class Side:
    """One of the two policies, at work."""

    def __init__(self, loaded: Policy, history: History | None, **more: Any) -> None:
        self.compiled = loaded.compiled
        self.said: list[bytes] = []
        self.left: deque[bytes] = deque()
        """What this one has decided and the other has not."""
        self.replay = replay_of(loaded, self.said.append, history=history, **more)
        self.rules: dict[str, LimitRule] = {
            rule.name: rule for rule in self.compiled.rules if not rule.is_beside
        }
        self._facts: RecordFacts | None = None
        self._matches = Memo(lambda key: self.replay.bound.match_line(*key))

    @property
    def facts(self) -> RecordFacts:
        """What tells the identities of records."""
        if self._facts is None:
            self._facts = RecordFacts(self.replay.bound, self.replay.fields)
        return self._facts

    def row(self, record: Any, decision: Decision) -> list[int]:
        """Return the identities of a record, and the actor it was taken for."""
        row = list(self.facts.identities(record, self._matches[record.method, record.path]))
        if self.compiled.cluster >= 0 and decision.cluster is not None:
            rule = self.rules.get(decision.limit or "")
            at = self.compiled.cluster if rule is None or rule.actor_at < 0 else rule.actor_at
            row[at] = int(decision.cluster, 16)
        return row


class Comparison:
    """Old and new policy over one trace.

    Args:
        old, new: the policies.
        histories: the records of payers that each begins with.
        more: the seed of the hashes, where a policy has no key; whether actors are looked for.
    """

    def __init__(
        self,
        old: Policy,
        new: Policy,
        histories: tuple[History | None, History | None] = (None, None),
        **more: Any,
    ) -> None:
        self.fields = fields_of(old.compiled, new.compiled)
        self.old, self.new = (
            Side(loaded, history, fields=self.fields, **more)
            for loaded, history in zip((old, new), histories, strict=True)
        )
        self.changes: dict[Way, Change] = {"refused": Change(), "admitted": Change()}
        self.moved = 0
        """Refused by both, by limits of different names."""
        self._records: deque[Any] = deque()
        self._plans = frozenset(
            plan for side in (old, new) for limit in side.compiled.file.limit for plan in limit.tiers
        )

    def close_replays(self) -> None:
        """Let go of both stores."""
        self.old.replay.close()
        self.new.replay.close()

    def take(self, batch: Batch) -> None:
        """Decide a batch by both, and compare."""
        self._records.extend(batch.records)
        self.old.replay.take(batch)
        self.new.replay.take(batch)
        self._look()

    def finish(self) -> None:
        """Compare what waits still: the trace is at its end."""
        self.old.replay.finish()
        self.new.replay.finish()
        self._look()

    def _look(self) -> None:
        """Compare as far as both have decided: requests that wait are decided later."""
        for side in (self.old, self.new):
            side.left.extend(b"".join(side.said).splitlines())
            side.said.clear()
        before, after = self.old.left, self.new.left
        for _ in range(min(len(before), len(after))):
            record, was, now = self._records.popleft(), before.popleft(), after.popleft()
            if was != now:
                self._compare(record, was, now)

    def _compare(self, record: Any, was: bytes, now: bytes) -> None:
        was_admitted, is_admitted = was.startswith(_ADMITTED), now.startswith(_ADMITTED)
        if was_admitted and is_admitted:
            return
        before, after = _read(was), _read(now)
        if was_admitted == is_admitted:
            self.moved += before.limit != after.limit
            return
        change = self.changes["admitted" if is_admitted else "refused"]
        side, deciding = (self.old, before) if is_admitted else (self.new, after)
        change.requests += 1
        rule = side.rules.get(deciding.limit or "")
        if rule is None:
            change.unnamed += 1
        else:
            row = side.row(record, deciding)
            tally = change.limits.setdefault(rule.name, LimitTally(rule))
            tally.add([tuple([row[place] for place in rule.per])], lambda at: record)
        if self._plans:
            change.classes[self._class(record)] += 1
        told = after if after.cluster else before
        if told.cluster is not None:
            actor = (told.cluster, told.verdict or "")
            if len(change.actors) < _MOST_ACTORS or actor in change.actors:
                change.actors[actor] += 1

    def _class(self, record: Any) -> str:
        """Return a caller's plan, where a policy names it."""
        for side in (self.new, self.old):
            for at in {limit.tier_identity for limit in side.compiled.limits if limit.tier_identity >= 0}:
                spec = side.compiled.identities[at]
                value = side.facts.values(record).get(spec.name) or side.facts.sourced(spec, record)
                if value in self._plans:
                    return str(value)
        return OTHERS
