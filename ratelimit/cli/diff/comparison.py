"""Two policies decide the same requests: which come out otherwise, by which limit, of which caller.

Each policy replays the trace by itself, against a store of its own. What they said is compared
decision by decision, and only of those that differ is the caller asked for.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from ratelimit.cli.replay.history import history_of
from ratelimit.clock import ManualClock
from ratelimit.features.steps import STEPS
from ratelimit.parsing.json import JsonReader
from ratelimit.policy import Policy
from ratelimit.policy.compile.compiled import CompiledPolicy, LimitRule
from ratelimit.replay.facts import RecordFacts, fields_of
from ratelimit.replay.memo import Memo
from ratelimit.replay.run import Replay
from ratelimit.replay.tally import LimitTally
from ratelimit.stores.factory import private_store
from ratelimit.traces import Batch

Way = Literal["refused", "admitted"]
_ADMITTED = tuple(
    f'{{"action": "{action}"'.encode() for action in ("allow", *(step.name for step in STEPS if step.goes_on))
)
_MOST_ACTORS = 10_000
OTHERS = "others"
"""The class of callers with a plan that the policy does not name."""


class Decision(msgspec.Struct):
    """One line of a replay's decisions."""

    action: str
    limit: str | None = None
    cluster: str | None = None
    verdict: str | None = None


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


class Side:
    """One of the two policies, at work."""

    def __init__(self, loaded: Policy, replay: Replay) -> None:
        self.loaded = loaded
        self.replay = replay
        self.rules: dict[str, LimitRule] = {
            rule.name: rule for rule in loaded.compiled.rules if not rule.is_beside
        }
        self._facts: RecordFacts | None = None
        self._matches = Memo(lambda key: replay.bound.match_line(*key))

    def row(self, record: Any, decision: Decision) -> list[int]:
        """Return the identities of a record, and the actor it was taken for."""
        if self._facts is None:
            self._facts = RecordFacts(self.replay.bound, self.replay.fields)
        row = list(self._facts.identities(record, self._matches[record.method, record.path]))
        compiled = self.loaded.compiled
        if compiled.cluster >= 0 and decision.cluster is not None:
            rule = self.rules.get(decision.limit or "")
            at = compiled.cluster if rule is None or rule.actor_at < 0 else rule.actor_at
            row[at] = int(decision.cluster, 16)
        return row


class Comparison:
    """Old and new policy over one trace.

    Args:
        old, new: the policies.
        seed: that of the hashes, where a policy has no key at hand.
        correlates: whether actors are looked for.
    """

    def __init__(self, old: Policy, new: Policy, *, seed: int = 0, correlates: bool = True) -> None:
        self.fields = fields_of(old.compiled, new.compiled)
        self._said: tuple[list[bytes], list[bytes]] = ([], [])
        self.old, self.new = (
            self._side(loaded, said, seed, correlates)
            for loaded, said in zip((old, new), self._said, strict=True)
        )
        self.changes: dict[Way, Change] = {"refused": Change(), "admitted": Change()}
        self.moved = 0
        """Refused by both, by limits of different names."""
        self._records: deque[Any] = deque()
        self._left: tuple[deque[bytes], deque[bytes]] = (deque(), deque())
        """What one has decided and the other has not."""
        self._plans = _plans(old.compiled) | _plans(new.compiled)

    def _side(self, loaded: Policy, said: list[bytes], seed: int, correlates: bool) -> Side:
        replay = Replay(
            loaded.compiled,
            lambda now_ns: private_store(loaded, ManualClock(now_ns), seed=seed),
            said.append,
            correlates=correlates,
            fields=self.fields,
            history=history_of(loaded),
        )
        return Side(loaded, replay)

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
        before, after = (b"".join(said) for said in self._said)
        for said in self._said:
            said.clear()
        if before == after and not any(self._left):
            # Most often nothing differs at all.
            for _ in range(before.count(b"\n")):
                self._records.popleft()
            return
        for lines, said_now in zip(self._left, (before, after), strict=True):
            lines.extend(said_now.splitlines())
        for _ in range(min(map(len, self._left))):
            record, was, now = self._records.popleft(), self._left[0].popleft(), self._left[1].popleft()
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
        row = side.row(record, deciding)
        if rule is None:
            change.unnamed += 1
        else:
            tally = change.limits.get(rule.name)
            if tally is None:
                tally = change.limits[rule.name] = LimitTally(rule)
            tally.add([tuple([row[place] for place in tally.rule.per])], lambda at: record)
        if self._plans:
            change.classes[self._class(record)] += 1
        cluster = after.cluster or before.cluster
        if cluster is not None:
            verdict = (after if after.cluster else before).verdict or ""
            if len(change.actors) < _MOST_ACTORS or (cluster, verdict) in change.actors:
                change.actors[cluster, verdict] += 1

    def _class(self, record: Any) -> str:
        """Return a caller's plan, where a policy names it."""
        for side in (self.new, self.old):
            compiled = side.loaded.compiled
            for at in {limit.tier_identity for limit in compiled.limits if limit.tier_identity >= 0}:
                facts = RecordFacts(side.replay.bound, self.fields)
                spec = compiled.identities[at]
                value = facts.values(record).get(spec.name) or facts.sourced(spec, record)
                if value in self._plans:
                    return str(value)
        return OTHERS


_read = JsonReader(Decision).read


def _plans(compiled: CompiledPolicy) -> frozenset[str]:
    """Return the plans that limits of a policy name."""
    return frozenset(plan for limit in compiled.file.limit for plan in limit.tiers)
