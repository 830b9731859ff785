"""Actors from accounts, in plain Python: a rebuild's specification, the compiled phases' oracle.

Four files, a phase each: `homes`, `pools`, `communities`, and here what groups are like. It goes over the
same remembered edges (`tests.support.remembered`) and says of each account its group and verdict. Lists and
dicts in place of arrays, and each question is asked of all accounts anew.

It decides as the core does, with two differences by design. Counts have no upper bound here (the core's
stop at 65,535), nor are there slices. Where no candidate of a vote has a majority, the core keeps the
one that its walk leaves over. `voted` walks in the same order. With a majority both agree anyway.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field

from ratelimit.correlation.classification import Classification, Statistics, Verdict, classify
from tests.support.reference.homes import HOUR_S, left_over, voted
from tests.support.reference.pools import LONER_SHARE, ROAMED, Pools
from tests.support.remembered import FINE, Account

FIT = 0.5
FLEET, LEAST_GROUP = 6, 6
IN_A_NETWORK = 256
OCTAVES = 20


@dataclass
class Found:
    """By key each member's group and verdict; by group its statistics and classification."""

    members: dict[int, tuple[int, Verdict]] = field(default_factory=dict)
    groups: dict[int, tuple[Statistics, Classification]] = field(default_factory=dict)


class Actors(Pools):
    """One rebuild over a memory: `run` it once."""

    def run(self) -> Found:
        """Return which principal belongs to which group."""
        self._forget()
        self._house()
        self._seek()
        return self._classify_groups()

    def _roots(self) -> dict[int, int]:
        """Return by method or place what stands for all it is joined to."""
        return {at: self.root_of(at) for at in self.proven | self.above.keys()}

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

    def _classify_groups(self) -> Found:
        """Say what each group is like, and which of its accounts belong to it."""
        roots, methods = self._roots(), self.methods()
        of: dict[int, int] = {}
        members: dict[int, list[Account]] = defaultdict(list)
        for account in self.accounts:
            root = self._group_of(account, roots)
            if root is not None:
                members[root].append(account)
        members = {
            root: them
            for root, them in members.items()
            if len(them) >= min(LEAST_GROUP, self.settings.accounts)
        }
        of = {account.key: root for root, them in members.items() for account in them}
        places = {account.key: self.places_of(account, FINE)[0] for account in self.accounts}
        ballots: dict[int, list[tuple[Hashable, int]]] = defaultdict(list)
        for account in self.accounts:
            if account.key in of:
                for place, visits in places[account.key].items():
                    ballots[place].append((of[account.key], visits))
        owner = {place: voted(cast) for place, cast in ballots.items()}
        self._dwellers = Counter(self._haunt(places[key], ROAMED) for key in of)
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
                here = {at for at in places[account.key] if owner.get(at) == of[account.key]}
                weight = 2 if self._fit(account, here)[0] >= FIT else 1
                fresh_on[method] += 1 if self.is_fresh(account) else -weight
        # An exit is where accounts of the group meet; a fleet on one payment method has what it uses.
        fleets = members.keys() - methods - roots.keys()
        meeting: dict[Hashable, list[int]] = defaultdict(list)
        for place in sorted(visits_at):
            if visits_at[place] and (owner[place] in fleets or self._is_meeting(place)):
                meeting[owner[place]].append(place)
        margins, capped = self._margins(meeting, visits_at), self._capped(meeting)
        found = Found()
        for root, them in members.items():
            exits = meeting[root]
            share = {place: mine[place] / (mine[place] + others[place]) for place in exits if mine[place]}
            statistics = self._statistics(them, methods, {place: visits_at[place] for place in exits}, share)
            statistics["methods"] = self._methods_in(root, roots, methods)
            weights = margins[root]
            statistics["networks"] = sum(weights) ** 2 / sum(n * n for n in weights) if weights else 0.0
            statistics["sole"] = sum(not others[place] for place in exits)
            lived = sum(visits_at[place] for place in exits if self.block_of(place) in self.lived_in)
            statistics["residential"] = lived / max(1, sum(visits_at[place] for place in exits))
            statistics["capped"] = capped[root]
            former = self.kept.get(statistics["former"], Verdict.NONE)
            classification = classify(statistics, self.settings, former)
            found.groups[root] = (statistics, classification)
            if not classification.verdict:
                continue
            for account in them:
                if account.key in self.silent:
                    continue
                verdict = classification.verdict
                method = self.method_of(account, methods)
                fit, roams = self._fit(account, {at for at in places[account.key] if owner.get(at) == root})
                is_provable = (
                    roams and method is not None and self.is_fresh(account) and fresh_on[method] >= 0
                )
                if method is None and not self.traits[account.key].roamer:
                    pass
                elif fit < (LONER_SHARE if method is None else FIT):
                    verdict = Verdict.NONE
                elif not is_provable:
                    verdict = Verdict.LIKELY
                if verdict:
                    found.members[account.key] = (root, verdict)
        return found

    def _margins(
        self, exits: Mapping[Hashable, list[int]], visits: Mapping[int, int]
    ) -> dict[Hashable, list[int]]:
        """Return by group how much more than others' is its own in each network that it wins."""
        ballots: dict[int, list[tuple[Hashable, int]]] = defaultdict(list)
        for place, root in sorted((place, root) for root, places in exits.items() for place in places):
            network = self.nodes[place].parent
            if network is not None:
                ballots[network].append((root, visits[place]))
        margins: dict[Hashable, list[int]] = defaultdict(list)
        for cast in ballots.values():
            winner, margin = left_over(cast)
            margins[winner].append(margin)
        return margins

    def _capped(self, exits: Mapping[Hashable, list[int]]) -> dict[Hashable, int]:
        """Return by group its exits, no more than 256 of one network."""
        counted: dict[int, int] = defaultdict(int)
        capped: dict[Hashable, int] = defaultdict(int)
        for place, root in sorted((place, root) for root, places in exits.items() for place in places):
            network = self.nodes[place].parent
            if network is not None:
                counted[network] += 1
            capped[root] += network is None or counted[network] <= IN_A_NETWORK
        return capped

    def _methods_in(self, root: int, roots: Mapping[int, int], methods: set[int]) -> int:
        """Return how many payment methods are a group's: those that meet, or the one all of it pay with."""
        if root in methods or root in roots:
            return sum(roots.get(method, method) == root for method in methods)
        return 1

    def _fit(self, account: Account, exits: set[int]) -> tuple[float, bool]:
        """Return what part of where an account was are its group's exits, -1 for one with a home.

        And whether accounts that pay apart meet at one of these itself, or it was at several.
        An account that is mostly at one address where people live does not count so, unless as many are
        there as make an actor.
        """
        places, total = self.places_of(account, FINE)
        visits = sum(places.values())
        if self.traits[account.key].homed or not visits:
            return -1.0, False
        meeting = {at: n for at, n in places.items() if at in exits and self._is_meeting(at)}
        near = [at for at in meeting if at not in self.proven]
        main_place = self._haunt(places)
        dwells = main_place is not None and self.block_of(main_place) in self.lived_in
        dwells = dwells and self._dwellers[main_place] < self.settings.accounts
        roams = (len(near) < len(meeting) or len(near) >= ROAMED) and not dwells
        return self.pool_visits(account, meeting, total) / visits, roams

    def _haunt(self, places: Mapping[int, int], least: int = 1) -> int | None:
        """Return the address where most of an account's visits are, and so many at least; None for none."""
        visits = sum(places.values())
        return next((at for at, n in places.items() if 2 * n > visits and n >= least), None)

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
            "exits": min(_evenly(exits.values()), float(len(exits))),
            "networks": 0.0,
            "addresses": len(exits),
            "capped": 0,
            "sole": 0,
            "exclusive": sum(exits[at] * part for at, part in share.items()) / visits if visits else 0.0,
            "residential": 0.0,
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
    """Return twice the inverse Simpson index of half of the visits, at the least used exits; by octaves."""
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
