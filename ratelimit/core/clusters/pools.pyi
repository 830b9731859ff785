"""Pools of payment methods that meet at exits of their own: a phase of a rebuild."""

from collections.abc import Sequence
from typing import final

from ratelimit.core.clusters.evidence import Evidence

@final
class Pools:
    """Proves of payment methods that their accounts meet at exits of their own, and joins those that do.

    In question are payment methods with two accounts or more. An exit is a pool's where enough of them
    meet and a share of the accounts there is theirs. A method goes if its accounts are elsewhere too
    much, until none goes. One round of that looks at one kind of place:

    1. `begin_round`, then `find_suspects` over identifiers and `list_suspects` over principals;
    2. `clear` over identifiers, `count_places` and `score` over suspects (positions up to `suspect_count`),
       `drop_suspects` over identifiers; again and again while any of these two says that something went;
    3. `join` over suspects, `mark_pooled` over identifiers.

    What is proven stays so in later rounds, and is not in question there. A round `alone` looks at new
    accounts that pay by themselves and roam instead. Between `begin` and `end`; identifiers and principals
    that were not there at `begin` are left out.

    Args:
        evidence: has the principals; `Homes` has walked over them.
        window_s: how far back visits count, in seconds; whole ticks of ten minutes.
        costly: further families, counted from 0, that count as payment methods.
        by_program: where no account pays, the client program stands for the payment method.
        kept: with so many principals or fewer, visits are read once and then kept; else in each walk.

    Raises:
        ValueError: there is no such family.
    """

    def __new__(
        cls,
        evidence: Evidence,
        *,
        window_s: int,
        costly: Sequence[int] = (),
        by_program: bool = False,
        kept: int = ...,
    ) -> Pools: ...
    @property
    def evidence(self) -> Evidence: ...
    @property
    def by_program(self) -> bool: ...
    @property
    def alone(self) -> bool:
        """True if accounts are in question that pay by themselves."""
    @property
    def count(self) -> int:
        """Identifiers there were at the beginning."""
    @property
    def suspect_count(self) -> int:
        """Principals in question, as `list_suspects` has listed them."""
    def begin(self) -> None:
        """Take memory: twelve bytes an identifier, eight a principal that is awake.

        Raises:
            MemoryError: there is no room.
        """
    def reset(self, start: int, stop: int) -> None:
        """Identifiers: forget what the last rebuild proved."""
    def begin_round(
        self, kind: int, least: int, share: float, *, alone: bool = False, crowd: int = 0
    ) -> None:
        """Begin a round.

        Args:
            kind: of the places: 0 for addresses, 1 for networks.
            least: payment methods, or accounts that pay by themselves, that meet at a pool exit.
            share: part of the accounts there that are in question.
            alone: whether those are in question that pay by themselves.
            crowd: accounts in question that a pool exit has at least.

        Raises:
            ValueError: there is no such kind of place.
        """
    def restore_suspects(self, start: int, stop: int) -> None:
        """Identifiers: put in question again what is proven, in place of `find_suspects`."""
    def find_suspects(self, start: int, stop: int) -> int:
        """Identifiers: put in question what several have and nothing was proven of; return how many."""
    def list_suspects(self, start: int, stop: int) -> None:
        """Principals: list those in question; count the others at places where they are witnesses."""
    def clear(self, start: int, stop: int) -> None:
        """Identifiers: forget what `count_places` and `score` counted."""
    def count_places(self, start: int, stop: int) -> None:
        """Suspects: count them at their places."""
    def score(self, start: int, stop: int, least: float) -> int:
        """Suspects: add up what part of their visits is at pool exits; return how many went.

        Only those go here that pay by themselves and have less than `least` of their visits there.
        """
    def drop_suspects(self, start: int, stop: int, least: float, kept: float) -> int:
        """Identifiers: let payment methods go that are elsewhere too much; return how many.

        Args:
            least: part of their visits at pool exits.
            kept: the same of those that belong to a cluster already.
        """
    def join(self, start: int, stop: int) -> None:
        """Suspects: join payment methods by the pool exits they share."""
    def mark_pooled(self, start: int, stop: int) -> int:
        """Identifiers: say of payment methods that are left that they meet others; return how many."""
    def end_search(self) -> bool:
        """Give a part back of what only looking takes; return whether there is more.

        What was joined and proven stays for `Groups`.
        """
    def give_back(self) -> bool:
        """Give a part of the memory back, so that it is no long slice; return whether there is more."""
    def end(self) -> None:
        """Give all memory back; may be called at any time."""
