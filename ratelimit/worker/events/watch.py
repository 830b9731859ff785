"""The watch over a limiter: a thread notices events, and one worker of a host reports them."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from hashlib import blake2b
from os import PathLike
from pathlib import Path
from pwd import getpwuid
from typing import NamedTuple

from ratelimit.clustering.service import ClusteringService
from ratelimit.core.clusters.cluster_index import cluster_of
from ratelimit.core.memory.refusals import refusals_in
from ratelimit.core.threads.event import breathe
from ratelimit.correlation.description import DECLARATION
from ratelimit.correlation.overview import Overview
from ratelimit.decision import VERDICTS, Reason, cluster_name
from ratelimit.limiter import Limiter
from ratelimit.load.compile import loads_of
from ratelimit.policy.compile.compiled import LimitRule
from ratelimit.runtime.reload import Reload
from ratelimit.stores.acts.act import Act
from ratelimit.stores.journal import read_records, standing_rejections
from ratelimit.telemetry.cells import totals
from ratelimit.telemetry.remote import (
    COUNTER_CHARGED_BACK,
    COUNTER_REMOTE,
    COUNTER_STOOD_IN,
    ChargedBackColumn,
    RemoteColumn,
    StoodInColumn,
)
from ratelimit.worker.events.acts import ActNews
from ratelimit.worker.events.losses import forgotten
from ratelimit.worker.events.minutes import MINUTE_NS, Minutes, counts_of, grown
from ratelimit.worker.events.reporter import Reporter

NS = 10**9
HOUR_NS = 3600 * NS
DAY_NS = 24 * HOUR_NS
FORGOTTEN_NS = 400 * DAY_NS
"""Where no worker looked for so long, the server has forgotten by its age what limits counted."""
LONG_NS = 600 * NS
"""A policy file that is refused for so long is told again."""
CONNECTING_NS = 2 * NS
"""A worker that starts has not reached its server yet: that is no absence before so long."""
REFUSALS_NS = 5 * NS
"""The time between looks at the refusals of actors."""
SOON_NS = 30 * NS
"""All workers of a host have read a changed file within so long."""
MOST_WORDS = 500
"""Letters of what a policy's error or its changes say."""
MOST_LIMITS = 64
"""Limits that a change of the policy names."""
MOST_ACTORS = 256
MANY = 8
"""Accounts of one payer or network, and refusals within an hour, from which it may be an organisation."""
MOST_GROUPS = 64
"""Of these, how many are told in a day; those that are refused most come first."""
OPENING = (
    "for a while `ratelimit act budget set POLICY {per}=hash:{caller} '{limit}=NUMBER'`; "
    "for good a plan (`tiers` of the limit)"
)
"""The means by which an open limit has more for a group. A declaration changes verdicts alone."""
PAYING = ", or the dollars that it has paid (`paid` of [correlation])"
"""Of one that pays."""
OTHER_TARGET = 1.5
"""A learned target is told again when it is so many times what was told, or less by as much."""
MOST_ROUTES = 8
GROWTH = 1.5
"""An actor is told again when it has so many times the accounts."""


class Group(NamedTuple):
    """What a limit refused a payer, a sponsor or an account within an hour."""

    per: int
    """The position of its identity."""
    caller: int
    rule: LimitRule
    refused: int
    since_ns: int


class EventWatch:
    """Looks after one limiter's events, and holds on to no limiter.

    Args:
        reporter: tells them.
    """

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._epoch = ""
        self._is_away = False
        self._has_heard = False
        """Whether the server has answered this worker."""
        self._away_ns = 0
        self._calm: dict[str, int] = {}
        """What was counted when this worker was last seen to ask the server."""
        self._connects = True
        self._started_ns: int | None = None
        self._last: Reload | None = None
        self._noticed: set[str] = set()
        self._saved: dict[str, int] = {}
        """When the snapshot had been saved last as a trouble was noticed, by its code."""
        self._acts = ActNews(reporter)
        self._minutes = Minutes(reporter)
        self._is_new = True
        self._is_first = True
        """Whether no worker of this host had noted anything before this one began."""
        self._is_leading = False
        self._rebuilds = -1
        self._refusals_ns = 0
        self._rejection_ns = 0

    def look(self, limiter: Limiter, log: Sequence[Act] = (), epoch: str = "") -> None:
        """Look for what happened since the last look.

        Args:
            limiter: the one that is watched.
            log: the operator's acts, with those that ended.
            epoch: the name of what the server remembers; empty for a worker that does not read it.

        Raises:
            OSError: the host's record cannot be read or written.
        """
        now_ns = limiter.now_ns()
        self._reporter.adapt(limiter.policy.file.events)
        self._look_at_server(limiter, epoch, now_ns)
        self._look_for_losses(limiter, epoch, now_ns)
        self._look_at_policy(limiter, now_ns)
        self._look_at_mistakes(limiter, now_ns)
        self._acts.look(limiter, log, now_ns, is_first=self._is_first)
        self._look_at_actors(limiter, now_ns)
        for name, number in self._reporter.take_told().items():
            limiter.runtime.counters.told(name, number)
        for sink, lost in self._reporter.take_lost().items():
            limiter.runtime.counters.events_lost(sink, lost)
        if not 0 <= now_ns - self._refusals_ns < REFUSALS_NS:
            self._refusals_ns = now_ns
            self._look_at_targets(limiter, now_ns)
            self._look_at_refusals(limiter, now_ns)
        self._minutes.look(limiter, now_ns, log)

    # -- the server -----------------------------------------------------------------------------------

    def _look_at_server(self, limiter: Limiter, epoch: str, now_ns: int) -> None:
        is_away = bool(limiter.remote.get("is_away"))
        if epoch and not self._has_heard and not is_away:
            self._has_heard = True
            self._tell_back(self._reporter.record.end(_counted(limiter)) or self._left_before(), now_ns)
        if not limiter.remote or self._is_starting(is_away, now_ns):
            return
        counted, record = _counted(limiter), self._reporter.record
        # What is decided between two looks belongs to the absence that began between them.
        calm = self._calm or counted
        if not is_away:
            self._calm = counted
        if is_away == self._is_away:
            return
        self._is_away = is_away
        if is_away:
            self._away_ns = now_ns
            standing = self._left_before()
            try:
                is_first = record.leave(now_ns if standing is None else standing[0], calm)
            except OSError:
                is_first = True  # once by each worker is better than never
            if is_first and standing is None:
                self._reporter.tell("store-away", now_ns)
            return
        try:
            back = record.come_back(counted)
        except OSError:
            back = (self._away_ns, {})
        self._tell_back(back, now_ns)

    def _left_before(self) -> tuple[int, Mapping[str, int]] | None:
        """Return since when this host has been away as the journal has it, where its record is gone."""
        if self._reporter.record.read().away:
            return None
        host = socket.gethostname()
        told = read_records(each for each in self._reporter.lines() if b'"store-' in each)
        own = [each for each in told if each.host == host and each.kind in ("store-away", "store-back")]
        return (own[-1].time_ns, {}) if own and own[-1].kind == "store-away" else None

    def _tell_back(self, back: tuple[int, Mapping[str, int]] | None, now_ns: int) -> None:
        """Tell that the server is used again: since when it was not, and what was counted meanwhile."""
        if back is not None:
            since_ns, grown = back
            seconds = round(max(0, now_ns - since_ns) / NS, 1)
            self._reporter.tell("store-back", now_ns, away_seconds=seconds, **grown)

    def _is_starting(self, is_away: bool, now_ns: int) -> bool:
        """Return whether this worker may only not have connected yet."""
        if not self._connects:
            return False
        if self._started_ns is None:
            self._started_ns = now_ns
        self._connects = is_away and 0 <= now_ns - self._started_ns < CONNECTING_NS
        return self._connects

    def _look_for_losses(self, limiter: Limiter, epoch: str, now_ns: int) -> None:
        """Tell of a server that came back empty, whichever worker of the host knew it before."""
        remote = limiter.policy.compiled.remote
        if not epoch or epoch == self._epoch or remote is None:
            return
        server = blake2b(f"{remote.url} {remote.prefix}".encode(), digest_size=4).hexdigest()
        with self._reporter.record.change() as told:
            before, told.epoch = told.epoch, f"{server} {epoch}"
            counted, looked_ns = told.counts, told.minute * MINUTE_NS
        self._epoch = epoch
        if not before.startswith(server) or before == f"{server} {epoch}":
            return
        if looked_ns and now_ns - looked_ns >= FORGOTTEN_NS:
            return  # by its age: nothing that this host counted would count now
        ring = self._reporter.minutes
        noted = read_records([] if ring is None else ring.read())
        limits = forgotten(limiter, noted, grown(counts_of(limiter), counted), now_ns)
        requests = max(limits.values(), default=0)
        column = RemoteColumn.REQUESTS_FORGOTTEN
        limiter.runtime.counters.add(COUNTER_REMOTE, len(RemoteColumn), column, requests)
        shown = sorted(limits.items(), key=lambda one: (-one[1], one[0]))[:MOST_LIMITS]
        self._reporter.tell("store-emptied", now_ns, requests=requests, limits=dict(shown))

    # -- the policy -----------------------------------------------------------------------------------

    def _look_at_policy(self, limiter: Limiter, now_ns: int) -> None:
        if self._is_new:
            self._look_at_start(limiter, now_ns)
            self._is_new = False
        last, self._last = self._last, limiter.last_reload
        if self._last is not None and self._last is not last:
            self._tell_reload(limiter, last, self._last, now_ns)
        self._look_for_ended_rejection(limiter, now_ns)
        since_ns = limiter.runtime.file.rejected_ns
        if since_ns is not None and now_ns - since_ns >= LONG_NS:
            minutes = (now_ns - since_ns) // (60 * NS)
            self._reporter.tell_once(
                "policy-rejected-long", limiter.policy.name, now_ns, for_ns=HOUR_NS, minutes=minutes
            )

    def _look_for_ended_rejection(self, limiter: Limiter, now_ns: int) -> None:
        """Tell that the file can be used again where the journal has this host's rejection and no end of it.

        That is so where it was mended while no worker ran, or this host's record is gone with its memory.
        """
        if 0 <= now_ns - self._rejection_ns < MINUTE_NS or limiter.runtime.file.rejected_ns is not None:
            return
        self._rejection_ns = now_ns
        standing = standing_rejections(self._reporter.lines()).get(socket.gethostname())
        if standing is not None and now_ns - standing.time_ns >= MINUTE_NS:
            self._tell_policy(limiter, "the file can be used again", now_ns)

    def _look_at_start(self, limiter: Limiter, now_ns: int) -> None:
        """Tell of a policy that came with a restart."""
        digest = f"{limiter.policy.digest:012x}"
        before = self._put_in_force(digest)
        self._is_first = not before
        if not before:  # after a reboot the journal may say it, where that is kept elsewhere
            before = self._last_told()
        if before and before != digest:
            self._tell_policy(limiter, f"a restart put it in place of {before}", now_ns)

    def _last_told(self) -> str:
        """Return the policy that this host told last; empty where the journal has none."""
        host = socket.gethostname()
        told = read_records(each for each in self._reporter.lines() if b"policy-reloaded" in each)
        own = [each.fields.get("digest") for each in told if each.host == host]
        return str(own[-1]) if own else ""

    def _put_in_force(self, digest: str) -> str:
        """Note the policy in force; return the one before, empty where that is not known."""
        with suppress(OSError), self._reporter.record.change() as told:
            before, told.policy = told.policy, digest
            return before
        return ""

    def _tell_policy(self, limiter: Limiter, changes: str, now_ns: int, limits: Sequence[str] = ()) -> None:
        digest = f"{limiter.policy.digest:012x}"
        self._reporter.tell_once(
            "policy-reloaded",
            digest,
            now_ns,
            for_ns=SOON_NS,
            digest=digest,
            by=_owner_of(limiter.policy.path),
            changes=changes[:MOST_WORDS],
            limits=list(limits)[:MOST_LIMITS],
        )

    def _tell_reload(self, limiter: Limiter, before: Reload | None, reload: Reload, now_ns: int) -> None:
        tell = self._reporter.tell_once
        if reload.result == "applied":
            self._put_in_force(f"{limiter.policy.digest:012x}")
            limits = dict.fromkeys(each.limit for each in reload.changes if each.limit)
            self._tell_policy(limiter, "; ".join(map(str, reload.changes)), now_ns, [*limits])
        elif reload.result == "rejected":
            error = str(reload.error)[:MOST_WORDS]
            tell("policy-rejected", error, now_ns, for_ns=SOON_NS, error=error)
        elif before is not None and before.result == "rejected":
            self._tell_policy(limiter, "the file is what it was before the mistake", now_ns)

    def _look_at_mistakes(self, limiter: Limiter, now_ns: int) -> None:
        for code, words in dict(limiter.runtime.noticed).items():
            if code not in self._noticed:
                self._noticed.add(code)
                self._saved[code] = limiter.correlation.get("saved_ns", 0)
                self._reporter.tell_once("self-check", code, now_ns, for_ns=HOUR_NS, code=code, words=words)
            elif self._is_over(limiter, code):
                self._noticed.discard(code)
                limiter.runtime.end_notice(code)
                # Once for each time that it was told.
                told = self._reporter.record.read().claims.get(f"self-check {code}", 0)
                about = f"{code} {told}"
                self._reporter.tell_once("self-check-over", about, now_ns, for_ns=HOUR_NS, code=code)

    def _is_over(self, limiter: Limiter, code: str) -> bool:
        """Return whether a trouble that an outage of the server may have made is over."""
        if code == "snapshot-unwritten":
            numbers = limiter.correlation
            # Else another host correlates by now, and saves.
            is_ours = numbers.get("is_correlator", 1) > 0
            return numbers.get("saved_ns", 0) > self._saved[code] or not is_ours
        is_reached = limiter.clustering is not None and not limiter.clustering.trouble
        return code == "hosts-unreachable" and is_reached

    def _look_at_targets(self, limiter: Limiter, now_ns: int) -> None:
        """Tell of targets that limits learned: once, and again when they are much different."""
        news = []
        learning = [spec for spec in loads_of(limiter.policy.compiled) if spec.first_byte_ns is None]
        if not learning:
            return
        learned = {one.group: int(one.numbers["target_ns"]) for one in limiter.watched_loads}
        with self._reporter.record.change() as told:
            for spec in learning:
                now, last = learned.get(spec.name, 0), told.targets.get(spec.name, 0)
                if now and (not last or max(now, last) >= OTHER_TARGET * min(now, last)):
                    told.targets[spec.name] = now
                    news.append((spec, now, last))
        for spec, now, last in news:
            self._reporter.tell(
                "target-learned",
                now_ns,
                group=spec.name,
                first_byte_seconds=round(now / NS, 3),
                before_seconds=round(last / NS, 3) if last else None,
                routes=[str(each) for each in spec.patterns][:MOST_ROUTES],
                shadow=spec.shadow,
            )

    # -- actors ---------------------------------------------------------------------------------------

    def _look_at_actors(self, limiter: Limiter, now_ns: int) -> None:
        clustering = limiter.clustering
        if clustering is None or not clustering.is_elected:
            self._is_leading = False
            return
        rebuilds = limiter.correlation.get("rebuilds", 0)
        if rebuilds == self._rebuilds:
            return
        found = clustering.clusters(breathe)
        if found is None:
            self._is_leading = False
            return  # another host correlates, or a rebuild is under way
        self._rebuilds = rebuilds
        actors = {cluster_name(each.identity) or "": each for each in found[:MOST_ACTORS]}
        news: list[tuple[str, str, Overview | None]] = []
        with self._reporter.record.change() as told:
            if not self._is_leading:
                self._take_over(told.actors)
                self._is_leading = True
            for name, each in actors.items():
                last = told.actors.get(name)
                if last is None or len(each.members) >= GROWTH * last:
                    news.append(("actor-found" if last is None else "actor-grew", name, each))
                    told.actors[name] = len(each.members)
            if len(found) <= MOST_ACTORS:
                for name in told.actors.keys() - actors.keys():
                    del told.actors[name]
                    news.append(("actor-released", name, None))
        for name, each in actors.items():
            if each.young_until_s:
                self._tell_young(name, each, now_ns)
        for event, name, actor in news:
            breathe()
            if actor is None:
                self._reporter.tell(event, now_ns, actor=name)
            else:
                verdict = VERDICTS[actor.verdict]
                self._reporter.tell(
                    event, now_ns, actor=name, verdict=verdict, accounts=len(actor.members), words=actor.words
                )

    def _take_over(self, actors: dict[str, int]) -> None:
        """Take in what the journal says of actors: another host told of them while it correlated."""
        ring = self._reporter.journal
        lines = [] if ring is None else ring.read()
        for record in read_records(line for line in lines if b'"actor-' in line):
            name, accounts = record.fields.get("actor"), record.fields.get("accounts")
            if record.kind == "actor-released":
                actors.pop(str(name), None)
            elif record.kind in ("actor-found", "actor-grew") and isinstance(accounts, int):
                actors[str(name)] = accounts

    def _tell_young(self, name: str, actor: Overview, now_ns: int) -> None:
        """Tell of a young cluster when it is found, and once more a day before the end."""
        left_ns = actor.young_until_s * NS - now_ns
        is_ending = left_ns <= DAY_NS
        self._reporter.tell_once(
            "actor-young",
            f"{name} {'ends' if is_ending else 'begins'}",
            now_ns,
            for_ns=max(DAY_NS, left_ns),
            actor=name,
            accounts=len(actor.members),
            payment_methods=actor.evidence["payment_methods"],
            until=actor.young_until_s,
            declare=DECLARATION,
        )

    def _look_at_refusals(self, limiter: Limiter, now_ns: int) -> None:
        if limiter.clustering is None:
            return
        table = limiter.table
        rules = {
            table.counter(rule.counter_name): rule
            for rule in limiter.rules
            if rule.is_clustered or len(rule.per) == 1
        }
        groups: list[Group] = []
        beyond: list[Group] = []
        for counter, caller, refused, uncertain, since_ns, _, in_shadow, *_ in refusals_in(table, now_ns):
            breathe()
            if in_shadow:
                continue
            actor = cluster_of(caller)
            rule = rules.get(counter)
            if rule is not None and _is_left_over(rule):
                if len(rule.per) == 1:
                    beyond.append(Group(rule.per[0], caller, rule, refused - uncertain, since_ns))
                continue
            if rule is not None and not rule.is_clustered and refused - uncertain >= MANY:
                groups.append(Group(rule.per[0], caller, rule, refused, since_ns))
            elif rule is not None and rule.is_clustered and len(rule.per) == 1:
                self._reporter.tell_once(
                    "actor-contained",
                    f"{actor:016x} {rule.name}",
                    now_ns,
                    for_ns=24 * HOUR_NS,
                    actor=cluster_name(actor),
                    limit=rule.name,
                    refused=refused,
                    since=since_ns // NS,
                )
        if limiter.clustering.is_elected:
            groups += _groups_of(limiter.clustering, beyond, {one.caller for one in groups})
            self._look_at_groups(limiter, groups, now_ns)

    def _look_at_groups(self, limiter: Limiter, groups: Sequence[Group], now_ns: int) -> None:
        """Tell of payers and sponsors that a limit refuses and that many accounts share; so many in a day."""
        if not groups:
            return
        clustering = limiter.clustering
        assert clustering is not None
        with self._reporter.record.change() as told:
            known = {key for key, until_ns in told.claims.items() if until_ns > now_ns}
        allowances = {rule.name for rule in limiter.rules if any(spec.covers for spec in rule.specs)}
        left = MOST_GROUPS - sum(key.startswith("group-refused ") for key in known)
        for one in sorted(groups, key=lambda one: (-one.refused, one.caller)):
            breathe()
            name = f"{one.caller:016x}"
            key = f"{name} {one.rule.name}"
            if left <= 0:
                return
            if f"group-refused {key}" in known or (accounts := clustering.accounts_at(one.caller)) < MANY:
                continue
            if _is_left_over(one.rule) and any(
                f"group-refused {name} {each}" in known for each in allowances
            ):
                continue  # its allowance had no room before, and is told
            left -= 1
            per = limiter.policy.compiled.identities[one.per].name
            self._reporter.tell_once(
                "group-refused",
                key,
                now_ns,
                for_ns=DAY_NS,
                limit=one.rule.name,
                per=per,
                caller=name[:8],
                accounts=accounts,
                refused=one.refused,
                since=one.since_ns // NS,
                opens=OPENING.format(per=per, caller=name, limit=one.rule.name)
                + (PAYING if one.per in clustering.groups else ""),
            )


def _is_left_over(rule: LimitRule) -> bool:
    """Return whether a rule binds what no allowance covers."""
    return any(spec.is_left_over for spec in rule.specs)


def _groups_of(clustering: ClusteringService, beyond: Sequence[Group], told: Set[int]) -> list[Group]:
    """Return the payers and sponsors that limits beyond allowances refuse, also by their accounts.

    Args:
        beyond: what these limits refused.
        told: payers whose allowance had no room before.
    """
    found: dict[tuple[int, int, str], Group] = {}
    for one in beyond:
        breathe()
        each = clustering.groups_of(one.caller) if (one.per,) == clustering.principal else []
        if one.per in clustering.groups:
            each = [(one.per, one.caller)]
        for position, value in each:
            if value in told:
                continue
            before = found.get((position, value, one.rule.name))
            refused = one.refused + (0 if before is None else before.refused)
            since_ns = one.since_ns if before is None else min(one.since_ns, before.since_ns)
            found[position, value, one.rule.name] = Group(position, value, one.rule, refused, since_ns)
    return [one for one in found.values() if one.refused >= MANY]


def _owner_of(path: str | PathLike[str] | None) -> str | None:
    """Return the name of the user whose file a policy is; None where that is not known."""
    try:
        return None if path is None else getpwuid(Path(path).stat().st_uid).pw_name
    except (OSError, KeyError):
        return None


def _counted(limiter: Limiter) -> dict[str, int]:
    """Return what all workers of the host counted of outages.

    The requests are those that the server could not decide: by this host's share, or by `on_store_error`.
    """
    decided = limiter.runtime.counters.decisions()
    stood_in = totals(limiter.table, COUNTER_STOOD_IN, len(StoodInColumn))
    counted = totals(limiter.table, COUNTER_REMOTE, len(RemoteColumn))
    back = totals(limiter.table, COUNTER_CHARGED_BACK, len(ChargedBackColumn))
    return {
        "requests_allowed": stood_in[StoodInColumn.ALLOWED] + decided.get((True, Reason.STORE), 0),
        "requests_refused": stood_in[StoodInColumn.REFUSED] + decided.get((False, Reason.STORE), 0),
        "refused_by_share": stood_in[StoodInColumn.BY_SHARE],
        "requests_charged_back": back[ChargedBackColumn.REQUESTS],
        "tokens_charged_back": back[ChargedBackColumn.TOKENS],
        "micro_dollars_charged_back": back[ChargedBackColumn.MICRO_DOLLARS],
        "others_charged_back": back[ChargedBackColumn.OTHERS],
        "counters_forgotten": counted[RemoteColumn.COUNTERS_FORGOTTEN],
        "corrections_lost": counted[RemoteColumn.CORRECTIONS_LOST],
    }
