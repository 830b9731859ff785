"""Accounts at home, in plain Python: the first phase of a rebuild, over remembered edges. See `actors`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass

from ratelimit.correlation.classification import Verdict
from ratelimit.correlation.settings import Settings
from tests.support.remembered import ADDRESSES, EXTRAS_AT, FINE, METHODS, TICK_S, Account, Edge, Memory

HOUR_S, DAY_S = 3600, 86400
YOUNG_S, SETTLED_S = 36 * HOUR_S, 16 * HOUR_S
FEW_ADDRESSES = 4
LIVED = 4
RESIDENTIAL = 30


def voted(ballots: Iterable[tuple[Hashable, int]]) -> Hashable | None:
    """Return the candidate with most of the weight; where none has half, the one a walk leaves over."""
    return left_over(ballots)[0]


def left_over(ballots: Iterable[tuple[Hashable, int]]) -> tuple[Hashable | None, int]:
    """Return the same, and what is left of its weight."""
    left: Hashable | None = None
    weight = 0
    for candidate, votes in ballots:
        if candidate == left:
            weight += votes
        elif weight >= votes:
            weight -= votes
        else:
            left, weight = candidate, votes - weight
    return left, weight


@dataclass
class Traits:
    """What a rebuild finds out about an account."""

    homed: bool = False
    old: bool = False
    new: bool = False
    settled: bool = False
    seen: bool = False
    roamer: bool = False


class Homes:
    """One rebuild over a memory, as far as homes and ages.

    Args:
        memory: what is remembered; it is changed.
        settings: the numbers.
        kept: by label, what was said of the clusters there are.
        ruled: keys that the operator speaks of: they are never dormant.
        costly: further families, counted from 0, that cost as payment methods do.
        is_paid: whether payment methods are known.
    """

    def __init__(
        self,
        memory: Memory,
        settings: Settings,
        kept: Mapping[int, Verdict],
        *,
        ruled: frozenset[int] = frozenset(),
        costly: tuple[int, ...] = (),
        is_paid: bool = True,
    ) -> None:
        self.memory, self.settings, self.kept = memory, settings, kept
        self.now_s, self.tick = memory.now_s, memory.now_s // TICK_S
        self.nodes = memory.identifiers
        self.is_paid = is_paid
        self.costly = (*range(METHODS.start, METHODS.stop), *(EXTRAS_AT + family for family in costly))
        self.accounts = self._awake(ruled)
        self.dormant = {account.key for account in memory.accounts} - {
            account.key for account in self.accounts
        }
        self.silent = {account.key for account in self.accounts if account.label and self._is_silent(account)}
        """Members of which nothing was heard lately: what was said of them stays."""
        self.degree: dict[int, int] = defaultdict(int)
        self.traits = {account.key: Traits() for account in self.accounts}
        self.proven: set[int] = set()
        """Payment methods that meet others, and the places where they do."""
        self.above: dict[int, int] = {}
        """Methods and places that are one group lead to the same one of them."""
        self.lived_in: set[int] = set()
        """Blocks where people live."""
        self.tree: dict[int, int] = {}
        """Of accounts that roam, what they are joined to."""

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
            if (
                edge is not None
                and wanted(edge.to)
                and (found is None or self.age_of(edge) < self.age_of(found))
            ):
                found = edge
        return None if found is None else found.to

    def method_of(self, account: Account, among: set[int]) -> int | None:
        """Return an account's payment method of those, the one seen last."""
        return self.latest(account, self.costly, among.__contains__)

    # -- accounts at home --------------------------------------------------------------------------

    def payer_of(self, account: Account) -> Hashable:
        """Return what stands for all that pay with an account: its payment method, else itself."""
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

        def is_public(address: int) -> bool:
            network = self.nodes[address].parent
            return network is not None and self.nodes[network].infrastructure

        def is_residential(address: int) -> bool:
            block = self.block_of(address)
            if block is None:
                return True
            if is_public(address):
                return False
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
            was_home = {edge.to for edge in account.edges[ADDRESSES] if edge is not None and edge.at_home}
            for edge in account.edges[ADDRESSES]:
                if edge is not None:
                    edge.at_home = False
            everywhere = sum(edge.visits for edge in self._addresses(account))
            for edge in self._addresses(account):
                ballots = visits[edge.to]
                own = sum(weight for other, weight in ballots if other == payer)
                if (
                    LIVED * edge.visits >= everywhere
                    and edge.span >= home_s // HOUR_S
                    and (
                        # It was at home before others came, and mostly is there still.
                        (edge.to in was_home and not is_public(edge.to) and 2 * edge.visits >= everywhere)
                        or (
                            lives[edge.to] == payer
                            and 2 * own >= sum(weight for _, weight in ballots)
                            and is_residential(edge.to)
                        )
                    )
                ):
                    edge.at_home = traits.homed = True
        homes: dict[int, set[tuple[Hashable, int | None]]] = defaultdict(set)
        for account in self.accounts:
            payer = self.payer_of(account)
            if self.is_paid and payer == ("account", account.key) and not self.traits[account.key].old:
                continue
            for edge in self._addresses(account):
                stayed = edge.at_home and edge.span >= s.home_s // HOUR_S
                block = self.block_of(edge.to) if stayed else None
                if block is not None:
                    homes[block].add((payer, self.nodes[edge.to].parent))
        self.lived_in = {
            block for block, said in homes.items() if RESIDENTIAL * len(said) >= len(of_block[block])
        }

    def _addresses(self, account: Account) -> list[Edge]:
        """Return an account's addresses, without infrastructure that is declared."""
        return [edge for edge in account.edges[ADDRESSES] if edge and not self.nodes[edge.to].infrastructure]

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
