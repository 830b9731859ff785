"""Who is one actor, in plain Python: the specification of a rebuild, and the oracle of the compiled phases.

It goes over the same remembered edges (`tests.support.remembered`) and says of each account its group and
verdict. Lists and dicts in place of arrays, and each question is asked of all accounts anew.

It decides as the core does, with two differences by design. Counts have no upper bound here (the core's
stop at 65,535), nor are there slices. Where no candidate of a vote has a majority, the core keeps the one
that its walk leaves over: `voted` walks in the same order, and says so. With a majority both agree anyway.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field

from ratelimit.correlation.judgement import Judgement, Statistics, Verdict, judge
from ratelimit.correlation.settings import Settings
from tests.support.remembered import (
    ADDRESSES,
    BLOCK,
    CLIENT,
    COARSE,
    EXTRAS_AT,
    FINE,
    METHODS,
    TICK_S,
    Account,
    Edge,
    Memory,
)

HOUR_S, DAY_S = 3600, 86400
YOUNG_S, SETTLED_S = 36 * HOUR_S, 16 * HOUR_S
FEW_ADDRESSES = 4
KEPT_SHARE, LONER_SHARE, FIT = 0.8, 0.3, 0.5
ROAMED, FLEET, LEAST_GROUP, TURNS = 3, 6, 6, 12
OCTAVES = 20


def voted(ballots: Iterable[tuple[Hashable, int]]) -> Hashable | None:
    """Return the candidate with most of the weight; where none has half, the one a single walk leaves over."""
    left: Hashable | None = None
    weight = 0
    for candidate, votes in ballots:
        if candidate == left:
            weight += votes
        elif weight >= votes:
            weight -= votes
        else:
            left, weight = candidate, votes - weight
    return left


@dataclass
class Traits:
    """What a rebuild finds out about an account."""

    homed: bool = False
    old: bool = False
    new: bool = False
    settled: bool = False
    seen: bool = False
    roamer: bool = False


@dataclass
class Found:
    """What a rebuild comes to: by key each member's group and verdict; by group its statistics and judgement."""

    members: dict[int, tuple[int, Verdict]] = field(default_factory=dict)
    groups: dict[int, tuple[Statistics, Judgement]] = field(default_factory=dict)


class Actors:
    """One rebuild over a memory.

    Args:
        memory: what is remembered; it is changed.
        settings: the numbers.
        kept: by label, what was said of the clusters there are.
        ruled: keys that the operator speaks of: they are never dormant.
        costly: further families, counted from 0, that cost as payment methods do.
    """

    def __init__(
        self,
        memory: Memory,
        settings: Settings,
        kept: Mapping[int, Verdict],
        *,
        ruled: frozenset[int] = frozenset(),
        costly: tuple[int, ...] = (),
    ) -> None:
        self.memory, self.settings, self.kept = memory, settings, kept
        self.now_s, self.tick = memory.now_s, memory.now_s // TICK_S
        self.nodes = memory.identifiers
        self.costly = (*range(METHODS.start, METHODS.stop), *(EXTRAS_AT + family for family in costly))
        self.accounts = self._awake(ruled)
        self.dormant = {account.key for account in memory.accounts} - {account.key for account in self.accounts}
        self.silent = {account.key for account in self.accounts if account.label and self._is_silent(account)}
        """Members of whom nothing was heard lately: what was said of them stays."""
        self.degree: dict[int, int] = defaultdict(int)
        self.traits = {account.key: Traits() for account in self.accounts}
        self.proven: set[int] = set()
        """Payment methods that meet others, and the places where they do."""
        self.joined: list[tuple[int, int]] = []
        """Methods and places that are one group."""
        self.tree: dict[int, int] = {}
        """Of accounts that roam, what they are joined to."""

    def run(self) -> Found:
        """Return who belongs to which group."""
        self._forget()
        self._house()
        self._seek()
        return self._judge()

    # -- what is remembered -----------------------------------------------------------------------

    def _awake(self, ruled: frozenset[int]) -> list[Account]:
        """Return the accounts heard of lately: one that was silent for long swaps places with the last."""
        accounts, awake, at = list(self.memory.accounts), self.memory.awake, 0
        while at < awake:
            is_silent = self.now_s - accounts[at].last_s >= self.settings.dormant_after_s
            if is_silent and accounts[at].key not in ruled:
                awake -= 1
                accounts[at], accounts[awake] = accounts[awake], accounts[at]
            else:
                at += 1
        return accounts[:awake]

    def _is_silent(self, account: Account) -> bool:
        return self.tick - account.last_s // TICK_S >= max(1, self.settings.window_s // TICK_S)

    def age_of(self, edge: Edge) -> int:
        """Return ticks since an edge was last seen."""
        return (self.tick - edge.seen) % 65536

    def _forget(self) -> None:
        """Drop edges that are too old, and count the accounts of each identifier."""
        s = self.settings
        for account in self.accounts:
            for at, edge in enumerate(account.edges):
                kept_s = s.network_kept_s if at < ADDRESSES.stop else s.payment_kept_s
                if edge is not None and self.age_of(edge) >= kept_s // TICK_S:
                    account.edges[at] = None
                elif edge is not None:
                    self.degree[edge.to] += 1

    def latest(self, account: Account, slots: Iterable[int], wanted: Callable[[int], bool]) -> int | None:
        """Return the identifier at some of an account's places that was seen last, of those wanted."""
        found: Edge | None = None
        for slot in slots:
            edge = account.edges[slot] if slot < len(account.edges) else None
            if edge is not None and wanted(edge.to) and (found is None or self.age_of(edge) < self.age_of(found)):
                found = edge
        return None if found is None else found.to

    def method_of(self, account: Account, among: set[int]) -> int | None:
        """Return an account's payment method of those, the one seen last."""
        return self.latest(account, self.costly, among.__contains__)

    # -- who is at home ---------------------------------------------------------------------------

    def payer_of(self, account: Account) -> Hashable:
        """Return what stands for all that pay with an account: its payment method, else the account itself."""
        method = self.latest(account, range(METHODS.start, METHODS.stop), lambda _: True)
        return ("account", account.key) if method is None else ("method", method)

    def pays_alone(self, account: Account) -> bool:
        """Return whether no other account pays with any of its payment methods."""
        return all(self.degree[edge.to] < 2 for edge in account.edges[METHODS] if edge is not None)

    def block_of(self, address: int) -> int | None:
        """Return an address's block, else its network."""
        coarse = self.nodes[address].parent
        if coarse is None:
            return None
        block = self.nodes[coarse].parent
        return coarse if block is None else block

    def is_new(self, account: Account) -> tuple[bool, bool]:
        """Return whether an account is known to be new, and known to be old."""
        age = self.now_s - account.first_s
        if account.created_s:
            age = max(age, self.memory.epoch_s + self.now_s - account.created_s)
        is_known = account.created_s != 0 or account.first_s >= DAY_S + self.settings.records_s
        return is_known and age < self.settings.new_s, age >= self.settings.new_s

    def _house(self) -> None:
        """Say of each account how old it is, and where it is at home."""
        s = self.settings
        visits: dict[int, list[tuple[Hashable, int]]] = defaultdict(list)
        alone_at: set[int] = set()
        payers: dict[int, set[Hashable]] = defaultdict(set)
        for account in self.accounts:
            traits, age = self.traits[account.key], self.now_s - account.first_s
            traits.new, traits.old = self.is_new(account)
            traits.settled = age >= SETTLED_S
            payer = self.payer_of(account)
            for edge in self._addresses(account):
                visits[edge.to].append((payer, edge.visits))
                if self.pays_alone(account):
                    alone_at.add(edge.to)
                if (block := self.block_of(edge.to)) is not None:
                    payers[block].add(payer)
        of_block: dict[int, list[int]] = defaultdict(list)
        for address in visits:
            if (block := self.block_of(address)) is not None:
                of_block[block].append(address)

        def is_peoples(address: int) -> bool:
            block = self.block_of(address)
            if block is None:
                return True
            there = of_block[block]
            return 2 * len(alone_at.intersection(there)) >= len(there) or (
                len(payers[block]) == 1 and len(there) <= FEW_ADDRESSES
            )

        lives = {address: voted(ballots) for address, ballots in visits.items()}
        for account in self.accounts:
            age = self.now_s - account.first_s
            home_s = s.home_s if age > YOUNG_S else s.home_new_s
            traits, payer = self.traits[account.key], self.payer_of(account)
            traits.seen = age >= home_s // HOUR_S * HOUR_S
            for edge in account.edges[ADDRESSES]:
                if edge is not None:
                    edge.at_home = False
            for edge in self._addresses(account):
                ballots = visits[edge.to]
                own = sum(weight for other, weight in ballots if other == payer)
                if (
                    edge.span >= home_s // HOUR_S
                    and lives[edge.to] == payer
                    and 2 * own >= sum(weight for _, weight in ballots)
                    and is_peoples(edge.to)
                ):
                    edge.at_home = traits.homed = True

    def _addresses(self, account: Account) -> list[Edge]:
        """Return an account's addresses, without infrastructure that is declared."""
        return [edge for edge in account.edges[ADDRESSES] if edge and not self.nodes[edge.to].infrastructure]

    # -- which payment methods meet ---------------------------------------------------------------

    def places_of(self, account: Account, kind: int) -> tuple[dict[int, int], int]:
        """Return visits by place where an account was lately and does not live; and all its visits."""
        places: dict[int, int] = defaultdict(int)
        homes, total = set(), 0
        for edge in self._addresses(account):
            if self.age_of(edge) >= max(1, self.settings.window_s // TICK_S):
                continue
            total += edge.visits
            place = edge.to if kind == FINE else self.nodes[edge.to].parent
            if place is None:
                continue
            if edge.at_home:
                homes.add(place)
            else:
                places[place] += edge.visits
        return {place: visits for place, visits in places.items() if place not in homes}, total

    def is_witness(self, account: Account) -> bool:
        """Return whether an account may testify that an exit is infrastructure."""
        return self.traits[account.key].homed or not self.traits[account.key].new

    def proof_of(self, account: Account, pool: Mapping[int, int], total: int) -> int:
        """Return what an account's visits at pool exits count for."""
        there = [visits for visits in pool.values() if visits]
        if self.traits[account.key].new or (len(there) >= ROAMED and 2 * max(there, default=0) <= total):
            return sum(there)
        return 0

    def _seek(self) -> None:
        """Find the payment methods that meet, and the accounts that pay by themselves and do."""
        s = self.settings
        self._sift(FINE, 2, s.pool_share)
        self._sift(COARSE, 3, s.network_share)
        if self.methods():
            self._unite(self.methods(), self._pools(self.methods(), COARSE, 3, s.network_share), COARSE)
        self._roam()

    def methods(self) -> set[int]:
        """Return the payment methods that are proven."""
        return {at for at in self.proven if self.nodes[at].kind not in (FINE, COARSE, CLIENT, BLOCK)}

    def _sift(self, kind: int, least: int, share: float) -> None:
        """Ask which payment methods are left until nothing changes."""
        s = self.settings
        slots = (*range(METHODS.start, METHODS.stop), *range(EXTRAS_AT, EXTRAS_AT + 3))
        shared = {
            edge.to
            for account in self.accounts
            for slot in slots
            if slot < len(account.edges) and (edge := account.edges[slot]) is not None
        }
        suspects = {at for at in shared if self.degree[at] >= 2} - self.proven
        listed = [account for account in self.accounts if self.method_of(account, suspects) is not None]
        if len(listed) < s.accounts:
            return
        for _ in range(TURNS):
            pools = self._pools(suspects, kind, least, share)
            there: dict[int, int] = defaultdict(int)
            everywhere: dict[int, int] = defaultdict(int)
            for account in listed:
                places, total = self.places_of(account, kind)
                proof = self.proof_of(account, {at: n for at, n in places.items() if at in pools}, total)
                for slot in self.costly:
                    edge = account.edges[slot] if slot < len(account.edges) else None
                    if edge is not None and edge.to in suspects and self.method_of(account, suspects) is not None:
                        there[edge.to] += proof
                        everywhere[edge.to] += total
            gone = {
                at
                for at in suspects
                if not everywhere[at]
                or there[at] < s.pool_share * (KEPT_SHARE if self.nodes[at].label in self.kept else 1) * everywhere[at]
            }
            suspects = suspects - gone
            if not gone:
                break
        self._unite(suspects, self._pools(suspects, kind, least, share), kind)
        self.proven |= suspects

    def _pools(self, suspects: set[int], kind: int, least: int, share: float) -> set[int]:
        """Return the places where enough payment methods in question meet, and most accounts are theirs."""
        methods: dict[int, set[int]] = defaultdict(set)
        mine: dict[int, int] = defaultdict(int)
        others: dict[int, int] = defaultdict(int)
        if kind == FINE:
            for at, node in enumerate(self.nodes):
                if node.kind == FINE:
                    methods[at] |= suspects.intersection(node.payers)
        for account in self.accounts:
            method = self.method_of(account, suspects)
            for place in self.places_of(account, kind)[0]:
                if method is not None:
                    methods[place].add(method)
                    mine[place] += 1
                elif self.is_witness(account):
                    others[place] += 1
        return {
            place
            for place, there in methods.items()
            if len(there) >= least and mine[place] >= share * (mine[place] + others[place])
        }

    def _unite(self, suspects: set[int], pools: set[int], kind: int) -> None:
        """Join payment methods and the pool exits they are seen at."""
        for account in self.accounts:
            method = self.method_of(account, suspects)
            if method is None:
                continue
            for place in self.places_of(account, kind)[0]:
                if place in pools:
                    self.proven.add(place)
                    self.joined.append((method, place))

    def _roam(self) -> None:
        """Find newcomers that pay by themselves, are nowhere at home, and share exits with their like alone."""
        s, methods = self.settings, self.methods()
        places = {account.key: self.places_of(account, FINE) for account in self.accounts}
        for account in self.accounts:
            traits, (there, total) = self.traits[account.key], places[account.key]
            is_newcomer = traits.new and not traits.homed and self.method_of(account, methods) is None
            traits.roamer = is_newcomer and len(there) >= ROAMED and 2 * len(there) >= total
        if sum(traits.roamer for traits in self.traits.values()) < s.accounts:
            return

        def shared() -> set[int]:
            mine: dict[int, int] = defaultdict(int)
            others: dict[int, int] = defaultdict(int)
            for account in self.accounts:
                counted = mine if self.traits[account.key].roamer else others
                for place in places[account.key][0]:
                    counted[place] += 1
            return {
                place
                for place, count in mine.items()
                if count >= 2 and count >= s.network_share * (count + others[place])
            }

        for _ in range(TURNS):
            pools, gone = shared(), False
            for account in self.accounts:
                traits, (there, total) = self.traits[account.key], places[account.key]
                if not traits.roamer:
                    continue
                proof = self.proof_of(account, {at: n for at, n in there.items() if at in pools}, total)
                if proof < LONER_SHARE * total:
                    traits.roamer = False
                    gone = True
            if not gone:
                break
        pools = shared()
        for account in self.accounts:
            if not self.traits[account.key].roamer:
                continue
            own = [place for place in places[account.key][0] if place in pools]
            if own:
                self.tree[account.key] = own[0]
            for place in own:
                self.proven.add(place)
                self.joined.append((own[0], place))

    # -- what groups are like ---------------------------------------------------------------------

    def _roots(self) -> dict[int, int]:
        """Return by method or place what stands for all it is joined to."""
        near: dict[int, set[int]] = defaultdict(set)
        for one, other in self.joined:
            near[one].add(other)
            near[other].add(one)
        roots: dict[int, int] = {}
        for start in sorted(near):
            waiting = [start]
            while waiting:
                at = waiting.pop()
                if at not in roots:
                    roots[at] = start
                    waiting += near[at]
        return roots

    def _group_of(self, account: Account, roots: Mapping[int, int]) -> int | None:
        """Return the root of an account's group."""
        traits = self.traits[account.key]
        at = self.method_of(account, self.methods())
        if at is None and traits.roamer:
            at = self.tree.get(account.key)
        if at is not None:
            return roots.get(at, at)
        if traits.homed:
            return None
        method = self.latest(account, self.costly, lambda _: True)
        return method if method is not None and self.degree[method] >= FLEET else None

    def is_fresh(self, account: Account) -> bool:
        """Return whether an account is known to be new, or was when it was found."""
        return self.traits[account.key].new or (account.label != 0 and account.verdict == Verdict.CERTAIN)

    def _judge(self) -> Found:
        """Say what each group is like, and which of its accounts belong to it."""
        roots, methods = self._roots(), self.methods()
        of: dict[int, int] = {}
        members: dict[int, list[Account]] = defaultdict(list)
        for account in self.accounts:
            root = self._group_of(account, roots)
            if root is not None:
                members[root].append(account)
        members = {root: them for root, them in members.items() if len(them) >= min(LEAST_GROUP, self.settings.accounts)}
        of = {account.key: root for root, them in members.items() for account in them}
        places = {account.key: self.places_of(account, FINE)[0] for account in self.accounts}
        ballots: dict[int, list[tuple[Hashable, int]]] = defaultdict(list)
        for account in self.accounts:
            if account.key in of:
                for place, visits in places[account.key].items():
                    ballots[place].append((of[account.key], visits))
        owner = {place: voted(cast) for place, cast in ballots.items()}
        mine: dict[int, int] = defaultdict(int)
        others: dict[int, int] = defaultdict(int)
        visits_at: dict[int, int] = defaultdict(int)
        for account in self.accounts:
            root = of.get(account.key)
            for place, visits in places[account.key].items():
                if root is not None and owner.get(place) == root:
                    mine[place] += 1
                    visits_at[place] += visits
                elif self.is_witness(account):
                    others[place] += 1
        fresh_on: dict[int, int] = defaultdict(int)
        for account in self.accounts:
            method = self.method_of(account, methods)
            if method is not None and account.key in of:
                fresh_on[method] += 1 if self.is_fresh(account) else -1
        found = Found()
        for root, them in members.items():
            exits = [place for place in visits_at if owner[place] == root and visits_at[place]]
            share = {place: mine[place] / (mine[place] + others[place]) for place in exits if mine[place]}
            statistics = self._statistics(them, methods, {place: visits_at[place] for place in exits}, share)
            statistics["methods"] = self._methods_in(root, roots, methods)
            statistics["sole"] = sum(not others[place] for place in exits)
            former = self.kept.get(statistics["former"], Verdict.NONE)
            judgement = judge(statistics, self.settings, former)
            found.groups[root] = (statistics, judgement)
            if not judgement.verdict:
                continue
            for account in them:
                if account.key in self.silent:
                    continue
                verdict = judgement.verdict
                method = self.method_of(account, methods)
                fit = self._fit(account, {at for at in places[account.key] if owner.get(at) == root})
                is_provable = method is not None and self.is_fresh(account) and fresh_on[method] >= 0
                if method is None and not self.traits[account.key].roamer:
                    pass
                elif fit < (LONER_SHARE if method is None else FIT):
                    verdict = Verdict.NONE
                elif not is_provable:
                    verdict = Verdict.LIKELY
                if verdict:
                    found.members[account.key] = (root, verdict)
        return found

    def _methods_in(self, root: int, roots: Mapping[int, int], methods: set[int]) -> int:
        """Return how many payment methods are a group's: those that meet, or the one that all of it pay with."""
        if root in methods or root in roots:
            return sum(roots.get(method, method) == root for method in methods)
        return 1

    def _fit(self, account: Account, exits: set[int]) -> float:
        """Return what part of where an account was are exits at which its group meets; -1 for one with a home."""
        places, total = self.places_of(account, FINE)
        visits = sum(places.values())
        if self.traits[account.key].homed or not visits:
            return -1.0
        meeting = {at: n for at, n in places.items() if at in exits and self._is_meeting(at)}
        return self.proof_of(account, meeting, total) / visits

    def _is_meeting(self, address: int) -> bool:
        coarse = self.nodes[address].parent
        return address in self.proven or (coarse is not None and coarse in self.proven)

    def _statistics(
        self, them: list[Account], methods: set[int], exits: Mapping[int, int], share: Mapping[int, float]
    ) -> Statistics:
        traits = [self.traits[account.key] for account in them]
        seen = sum(one.seen or one.homed for one in traits)
        visits = sum(exits.values())
        former: list[tuple[Hashable, int]] = []
        for account in them:
            method = self.method_of(account, methods)
            label = account.label or (0 if method is None else self.nodes[method].label)
            if account.label or label in self.kept:
                former.append((label, 1))
        chosen = voted(former)
        active = [sum(self._was_active(account, part) for account in them) for part in range(4)]
        return {
            "accounts": len(them),
            "methods": 0,
            "loners": sum(
                one.roamer and self.method_of(account, methods) is None
                for one, account in zip(traits, them, strict=True)
            ),
            "homed": sum(one.homed for one in traits) / max(1, seen),
            "seen": seen,
            "fresh": sum(map(self.is_fresh, them)) / len(them),
            "old": sum(one.old for one in traits) / len(them),
            "settled": sum(one.settled for one in traits) / len(them),
            "exits": _evenly(exits.values()),
            "addresses": len(exits),
            "sole": 0,
            "exclusive": sum(exits[at] * part for at, part in share.items()) / visits if visits else 0.0,
            "busiest": max(active),
            "rate": 0.0,
            "former": chosen if isinstance(chosen, int) else 0,
            "votes": 0,
        }

    def _was_active(self, account: Account, part: int) -> bool:
        """Return whether an account asked for anything in a quarter of the last day, by the clock."""
        now, last = self.now_s // HOUR_S, account.last_s // HOUR_S
        hours = range(max(now - 23, last - 23), last + 1)
        return any(account.hours >> hour % 24 & 1 and hour % 24 // 6 == part for hour in hours)


def _evenly(visits: Iterable[int]) -> float:
    """Return twice the inverse Simpson index of the half of the visits at the least used exits, by octaves."""
    octaves: dict[int, list[int]] = defaultdict(list)
    for count in visits:
        octaves[min(OCTAVES - 1, count.bit_length() - 1)].append(count)
    half = sum(map(sum, octaves.values())) / 2
    taken = squares = 0.0
    for _, counts in sorted(octaves.items()):
        part = min(1.0, (half - taken) / sum(counts))
        taken += part * sum(counts)
        squares += part * sum(count * count for count in counts)
        if taken >= half:
            break
    return 2 * taken * taken / squares if squares else 0.0
