"""One world: its internet, client builds, and the book of all accounts and payment methods."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.correlation.clients import Clients
from benchmarks.correlation.internet import Internet, Rows
from benchmarks.correlation.numbers import Ints, generator
from benchmarks.correlation.tokens import Tokens
from benchmarks.correlation.trace import Events, Trace, Truth, collect, joined


class World:
    """Where honest people and campaigns are put, so that numbers never collide.

    Args:
        seed: everything follows from it.
        accounts: about how many honest accounts the internet is for.
        tokens: what requests cost; lognormal without recorded ones.
    """

    def __init__(self, seed: int, accounts: int, tokens: Tokens | None = None) -> None:
        self.seed = seed
        self.internet = Internet(seed, accounts)
        self.clients = Clients(generator(seed, "clients"))
        self.tokens = tokens or Tokens()
        self._klasses: dict[str, int] = {}
        # actor, klass, campaign, generation, victim, payment
        self._book = Rows(np.int64, np.int32, np.int32, np.int32, np.bool_, np.uint32)
        self._actors = 0
        self._cards = 0

    def rng(self, *name: object) -> np.random.Generator:
        """Return the generator of this name in this world."""
        return generator(self.seed, *name)

    def new_actors(self, count: int) -> Ints:
        """Return numbers of actors that are new."""
        self._actors += count
        return np.arange(self._actors - count, self._actors, dtype=np.int64)

    def new_cards(self, count: int) -> Ints:
        """Return numbers of payment methods that are new; 0 is none."""
        self._cards += count
        return np.arange(self._cards - count + 1, self._cards + 1, dtype=np.int64)

    def enrol(
        self,
        klass: Sequence[str] | str,
        actor: Ints,
        payment: Ints,
        campaign: int = -1,
        bound: Ints | None = None,
    ) -> Ints:
        """Return the numbers of new accounts."""
        count = len(actor)
        names = [klass] * count if isinstance(klass, str) else klass
        numbers = [self._klasses.setdefault(name, len(self._klasses)) for name in names]
        return self._book.add(
            actor,
            np.array(numbers),
            np.full(count, campaign),
            np.zeros(count) if bound is None else bound,
            np.zeros(count),
            payment,
        )

    def repay(self, account: Ints, payment: Ints) -> None:
        """Let accounts be paid with something else, from the beginning."""
        self._book[5][account] = payment

    def payment_of(self, account: Ints) -> Ints:
        """Return payment methods of accounts."""
        return self._book[5][account].astype(np.int64)

    def klass_of(self, account: Ints) -> NDArray[np.str_]:
        """Return the names of accounts' classes."""
        names: NDArray[np.str_] = np.array(list(self._klasses))[self._book[1][account]]
        return names

    def accounts_of(self, *klasses: str) -> Ints:
        """Return all accounts of some classes."""
        wanted = [self._klasses[name] for name in klasses if name in self._klasses]
        return np.flatnonzero(np.isin(self._book[1], wanted))

    def name_victims(self, account: Ints) -> None:
        """Remember the accounts that a poisoning campaign is after."""
        self._book[4][account] = True

    def truth(self) -> Truth:
        """Return the actor behind each account."""
        actor, klass, campaign, bound, victim = (self._book[column].copy() for column in range(5))
        return Truth(actor, klass, campaign, bound, victim, tuple(self._klasses))

    def trace(self, parts: Sequence[Events], starts_ns: dict[int, int], end_ns: int) -> Trace:
        """Return all that happened as a trace."""
        payment: NDArray[np.uint32] = self._book[5]
        return collect(
            joined(parts), payment, self.clients.texts, self.truth(), starts_ns=starts_ns, end_ns=end_ns
        )
