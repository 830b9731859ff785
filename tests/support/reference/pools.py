"""Payment methods that meet, in plain Python: the second phase of a rebuild. See `actors`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from ratelimit.correlation.rebuild import NETWORK_SHARE
from tests.support.reference.communities import Communities
from tests.support.remembered import BLOCK, CLIENT, COARSE, EXTRAS_AT, FINE, METHODS, Account

KEPT_SHARE, LONER_SHARE = 0.8, 0.3
ROAMED, TURNS = 3, 12


class Pools(Communities):
    """The same, as far as what meets at exits of its own."""

    def is_witness(self, account: Account) -> bool:
        """Return whether an account is a witness that an exit is infrastructure."""
        return self.traits[account.key].homed or not self.traits[account.key].new

    def pool_visits(self, account: Account, pool: Mapping[int, int], total: int) -> int:
        """Return what an account's visits at pool exits count for."""
        there = [visits for visits in pool.values() if visits]
        if self.traits[account.key].new or (len(there) >= ROAMED and 2 * max(there, default=0) <= total):
            return sum(there)
        return 0

    def _seek(self) -> None:
        """Find the payment methods that meet, and the accounts that pay by themselves and do."""
        s = self.settings
        self._sift(FINE, 2, s.pool_share)
        self._sift(COARSE, 3, NETWORK_SHARE)
        if self.methods():
            self._note(self.methods(), self._pools(self.methods(), COARSE, 3, NETWORK_SHARE), COARSE)
            self.gather(self.methods())
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
                proof = self.pool_visits(account, {at: n for at, n in places.items() if at in pools}, total)
                for slot in self.costly:
                    edge = account.edges[slot] if slot < len(account.edges) else None
                    if (
                        edge is not None
                        and edge.to in suspects
                        and self.method_of(account, suspects) is not None
                    ):
                        there[edge.to] += proof
                        everywhere[edge.to] += total
            gone = {
                at
                for at in suspects
                if not everywhere[at]
                or there[at]
                < s.pool_share * (KEPT_SHARE if self.nodes[at].label in self.kept else 1) * everywhere[at]
            }
            suspects = suspects - gone
            if not gone:
                break
        self._note(suspects, self._pools(suspects, kind, least, share), kind)
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

    def _note(self, suspects: set[int], pools: set[int], kind: int) -> None:
        """Note the pool exits where accounts in question are."""
        for account in self.accounts:
            if self.method_of(account, suspects) is not None:
                self.proven |= pools.intersection(self.places_of(account, kind)[0])

    def _roam(self) -> None:
        """Find newcomers that pay by themselves, are nowhere at home, and share exits with their like."""
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
                if count >= 2 and count >= NETWORK_SHARE * (count + others[place])
            }

        for _ in range(TURNS):
            pools, gone = shared(), False
            for account in self.accounts:
                traits, (there, total) = self.traits[account.key], places[account.key]
                if not traits.roamer:
                    continue
                proof = self.pool_visits(account, {at: n for at, n in there.items() if at in pools}, total)
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
            self.proven.update(own)
            for place in own[1:]:
                self.join_places(own[0], place)
