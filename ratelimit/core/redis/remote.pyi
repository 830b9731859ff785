"""Questions to a store that lives elsewhere, and its answers as outcomes.

A question is what the caller collects of many decisions and sends at once. It has keys, each with its
number, and items, numbers of the form `stores/redis/decision/script.py` says. The store answers with one
list of numbers, which is read in the order the questions were put.
"""

from collections.abc import Sequence
from typing import Any, final

from ratelimit.core.decision.engine import Outcome, Plan

ASK_NUMBERS: int
"""Numbers an ask takes in items."""
PEEK: int
DECIDE: int
CORRECT: int

@final
class RemoteRules:
    """A plan's rules as a store elsewhere is asked for them.

    Args:
        plan: of this host's table, which gives keys, numbers and counters; its state is not used.
        prefix: what names of keys begin with.
        tagged: whether a part of the digest stands in braces, for a cluster to find its slot by.
    """

    @property
    def plan(self) -> Plan: ...
    def __new__(cls, plan: Plan, prefix: bytes, tagged: bool) -> RemoteRules: ...
    def __len__(self) -> int: ...
    def describe(self, now_ns: int, /) -> list[list[Any]]:
        """Return each rule's kind and numbers, as the script reads them; calendars around `now_ns`."""
    def ask(
        self,
        identities: Sequence[int],
        costs: Sequence[int] | None,
        commit: bool,
        base: int,
        keys: dict[bytes, int],
        items: list[Any],
        ledger: object,
        /,
    ) -> Outcome:
        """Append a decision's keys and item, and return the outcome that its answer will fill.

        Args:
            commit: whether to charge.
            base: number of the plan's first rule among those sent.
            ledger: told of corrections: `correct(outcome, index, delta)`.

        Raises:
            UsageError: as `Plan.decide`.
        """
    def answer(
        self, outcome: Outcome, said: list[int], at: int, now_us: int, commit: bool, apart: bool = False, /
    ) -> int:
        """Fill an outcome from `said[at:]` and count it; return where the next answer begins.

        Args:
            apart: each rule was charged by itself, whatever the others said. Then nothing is
                counted (`count`), and a refusal is to be taken back (`Outcome.take_back`).

        Raises:
            IndexError, TypeError, ValueError, OverflowError: it is no answer to that question.
        """
    def owes(self, outcome: Outcome, index: int, /) -> bool:
        """Return whether units of rule `index` are to be corrected now; never of slots and members.

        A correction that was sent is answered first (`corrected`, or `unanswered`): what the next
        one asks for follows from it.
        """
    def correct(
        self, outcome: Outcome, index: int, delta: int, base: int, keys: dict[bytes, int], items: list[Any], /
    ) -> None:
        """Append a correction of what rule `index` was charged: to what was reported last.

        Args:
            delta: slots and members taken or given back; units where nothing was reported (`Outcome.settle`):
                what a report asks for is worked out here.
        """
    def amend(self, outcome: Outcome, index: int, /) -> int:
        """Return what a correction of rule `index` that was appended, and not sent yet, is to ask for now."""
    def corrected(
        self, outcome: Outcome, index: int, said: list[int], at: int, now_us: int, /
    ) -> tuple[int, int]:
        """Read a correction's answer; return how many units moved and where the next answer begins."""
    def unanswered(self, outcome: Outcome, index: int, /) -> None:
        """Note that a correction was sent and not answered: what it charged, if it did, is never taken back."""
    def carried(
        self,
        index: int,
        key: int,
        used: int,
        now_ns: int,
        base: int,
        keys: dict[bytes, int],
        items: list[Any],
        token: int = 0,
        /,
    ) -> None:
        """Append a charge of `used` units, without asking, to the counter `key` of rule `index`.

        Less than 0 is given back, of a bucket; of windows, to the one of now; of a lifetime it is paid in.

        Args:
            token: of a payment, or one that is taken back, a number below 2^53 by which it is done once.
        """
    def balance(self, index: int, key: int, /) -> tuple[int, int, int, int] | None:
        """Return what this host remembers of the lifetime of a counter `key`; None for nothing.

        That is the generation of the server's data, what was charged, what was paid, and how much of both
        was taken back. A question brings it to the server, which may have lost it.
        """
    def remember(self, index: int, key: int, said: Sequence[int], now_ns: int, /) -> None:
        """Remember what `balance` returned on another host.

        Raises:
            IndexError, TypeError, ValueError, OverflowError: it is no such thing.
        """
    def count(self, outcome: Outcome, /) -> None:
        """Count what each rule said."""
    def ask_size(self, index: int, /) -> int:
        """Return how many numbers answer an ask of rule `index`."""
    def answer_size(self, index: int, /) -> int:
        """Return how many numbers answer a correction of rule `index`."""
    def key(self, index: int, key: int, /) -> bytes:
        """Return the name of the store's key for the counter `key` (`Outcome.key`) of rule `index`."""

def used(outcome: Outcome, index: int, /) -> int:
    """Return how many units of rule `index` are in use as an outcome read them; 0 where no units are counted."""
