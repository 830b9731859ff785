"""News of the operator's acts: each is told when it is in force, and when it ends, whoever ran meanwhile.

A worker that starts reads in the journal what was told before it. So an act that was made while all workers
were being restarted is told by the first that runs again, and so is one that ended then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ratelimit.limiter import Limiter
from ratelimit.stores.acts.act import Act, in_force, undos
from ratelimit.stores.embedded.board import fingerprint_of
from ratelimit.stores.journal import read_records
from ratelimit.worker.events.minutes import MINUTE_NS
from ratelimit.worker.events.reporter import Reporter

NS = 10**9
DAY_NS = 24 * 3600 * NS
ENDS = ("act-undone", "act-lapsed")

Identity = tuple[int, int]


class ActNews:
    """Tells of acts, and holds on to no limiter.

    Args:
        reporter: tells them, once for a host.
    """

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._seen: dict[Identity, Act] = {}
        self._made: set[Identity] | None = None
        """The acts that are told to be in force, or are no news; None before the first look,"""
        self._ended: set[Identity] = set()
        """and those of which the end is."""
        self._stamp: object = None

    def look(self, limiter: Limiter, log: Sequence[Act], now_ns: int, *, is_first: bool) -> None:
        """Tell what is new.

        Args:
            limiter: the one that goes by the acts.
            log: the acts, with those that ended.
            now_ns: the time.
            is_first: whether no worker has looked at this host before: what it finds is no news.

        Raises:
            OSError: the host's record cannot be read or written.
        """
        current = {act.identity_in_log: act for act in limiter.runtime.acts}
        stamp = (*current, len(log), log[-1].identity_in_log if log else None)
        if self._made is not None and stamp == self._stamp:
            return
        self._stamp = stamp
        undone = undos(log)
        key = fingerprint_of(limiter.store.hasher.key).hex()
        # Also those that were made and ended between two looks.
        ever = in_force([act for act in log if not act.of.is_undo], key, 0)
        self._seen |= {act.identity_in_log: act for act in ever} | current
        if self._made is None:
            self._begin(current, undone, now_ns, is_first=is_first)
        assert self._made is not None
        for identity, act in self._seen.items():
            if identity not in self._made:
                self._made.add(identity)
                self._tell("act-made", act, now_ns, by=act.by, reason=act.reason)
            if identity in self._ended or identity in current:
                continue
            if (undo := undone.get(identity)) is not None:
                self._ended.add(identity)
                self._tell("act-undone", act, now_ns, by=undo.by, reason=undo.reason)
            elif act.until_ns is not None and act.until_ns <= now_ns:
                self._ended.add(identity)
                self._tell("act-lapsed", act, now_ns, by=act.by)
        there = {act.identity_in_log for act in ever} | current.keys()
        self._seen = {each: act for each, act in self._seen.items() if each in there}
        self._made &= there
        self._ended &= there

    def _begin(
        self, current: dict[Identity, Act], undone: Mapping[Identity, Act], now_ns: int, *, is_first: bool
    ) -> None:
        """Take note of what was told before, and of what happened before the last look of this host."""
        records = read_records(self._reporter.lines())
        told = {(each.kind in ENDS, each.fields.get("act")) for each in records if each.kind[:4] == "act-"}
        since_ns = (self._reporter.record.read().minute - 1) * MINUTE_NS
        self._made = set()
        for identity, act in self._seen.items():
            if is_first or act.at_ns < since_ns or (False, act.label) in told:
                self._made.add(identity)
            undo = undone.get(identity)
            end_ns = undo.at_ns if undo is not None else act.until_ns
            if identity in current or end_ns is None or end_ns > now_ns:
                continue
            if is_first or end_ns < since_ns or (True, act.label) in told:
                self._ended.add(identity)

    def _tell(self, name: str, act: Act, now_ns: int, **fields: object) -> None:
        hashes = [f"{one:016x}" for one in act.hashes]
        until_s = None if act.until_ns is None else act.until_ns // NS
        said = {"act": act.label, "kind": act.kind, **fields, "until": until_s, "identity": act.identity}
        said |= {"of": hashes, "says": act.says or act.name, "limits": [*act.numbers]}
        self._reporter.tell_once(name, f"{act.label} {act.at_ns}", now_ns, for_ns=DAY_NS, **said)
