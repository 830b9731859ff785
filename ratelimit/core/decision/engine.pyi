"""Plans and the one call that decides."""

from collections.abc import Callable, Sequence
from typing import Literal, final

from ratelimit.core.algorithms.rule import Rule
from ratelimit.core.memory.table import Table

MAX_RULES: int
"""Most rules one decision can carry (16)."""
MAX_COST: int
"""Largest cost of one charge (2**31 - 1)."""
ABSENT: int
"""What stands for an identity a request does not have (-1)."""

@final
class Plan:
    """The rules of one kind of request, and where each finds its identities.

    Args:
        table: where state lives.
        rules: at most MAX_RULES.
        keys: for each rule, the positions of its identities in the sequence given to `decide`.
            Empty: one counter for all requests.
        members: for each rule, the position of the identity a distinct rule counts, else -1.
        cost_positions: for each rule, its position in `costs`, else -1 (cost 1).
    """

    @property
    def rules(self) -> tuple[Rule, ...]: ...
    @property
    def decides_here(self) -> Literal[True]:
        """True: as a store's plan, it need not be awaited."""
    @property
    def accelerated(self) -> Plan:
        """This plan, which compiled code calls."""
    def __len__(self) -> int: ...
    def __init__(
        self,
        table: Table,
        rules: Sequence[Rule],
        keys: Sequence[Sequence[int]],
        members: Sequence[int] | None = None,
        cost_positions: Sequence[int] | None = None,
    ) -> None: ...
    def like(self, rules: Sequence[Rule], absent: Sequence[int] = (), absent_at: int = 0, /) -> Plan:
        """Return a plan of other rules at the same identities.

        Args:
            rules: one for each of this plan's.
            absent: indices of rules to be skipped always.
            absent_at: a position that identities have -1 at, for those.
        """
    def key(self, index: int, identities: Sequence[int], /) -> int:
        """Return the key of the counter that rule `index` has for these identities."""
    def identity_of(self, index: int, key: int, /) -> int:
        """Return the identity whose counter in rule `index` has a key: the reverse of `key`.

        For a look at a counter of which nothing but the key is known.

        Raises:
            ValueError: the rule has no identity, or several.
        """
    def decide(
        self, identities: Sequence[int], now_ns: int, costs: Sequence[int] | None = None, /
    ) -> Outcome:
        """Check every rule; charge all of them or none.

        Identity -1 (`ABSENT`) in a rule's key skips that rule for this request.

        Raises:
            UsageError: a negative cost, or one above MAX_COST.
        """
    def carry(self, source: Sequence[int], target: Sequence[int], now_ns: int, /) -> None:
        """Charge each rule under `target`'s key with what is used under `source`'s.

        For identities that become another or are joined: what was used stays used. It adds up, into
        debt of at most one further quota. Rules with a state that is no word (logs, slots, distinct counts)
        begin afresh.
        """
    def charge(self, identities: Sequence[int], costs: Sequence[int], times: int, now_ns: int, /) -> None:
        """Charge each rule with requests made before, where it has no room for one more now.

        That is, into debt, of at most one further quota. Where there is room nothing is charged: what was
        used in time is used up in time. Rules with a state that is no word (logs, slots, distinct counts) are
        left as they are.

        Args:
            identities: their counters are charged.
            costs: what one request takes, by rule; 0 for nothing.
            times: how many there were.
            now_ns: when.
        """
    def forgive(self, index: int, units: int) -> int:
        """Count units of a rule that were beyond the debt its key may have.

        Raises:
            IndexError: the plan has no such rule.
        """
    def peek(self, identities: Sequence[int], now_ns: int, costs: Sequence[int] | None = None, /) -> Outcome:
        """Return what `decide` would; charge and count nothing."""

@final
class Outcome:
    """The result of one decision; raw numbers by rule index. Owned by the caller."""

    @property
    def allowed(self) -> bool:
        """True if no enforced rule refused, so that every rule was charged (but shadow rules that refuse)."""
    @property
    def binding(self) -> int:
        """Index of the enforced rule that refuses longest, else -1."""
    def __len__(self) -> int: ...
    def state(self, index: int, /) -> int:
        """Return 0 skipped, 1 allowed, 2 refused, 3 refused in shadow."""
    def remaining(self, index: int, /) -> int: ...
    def retry_after_ns(self, index: int, /) -> int:
        """Return 0 if it allowed, -1 if waiting can never help, else nanoseconds to wait."""
    def hold_off(self, index: int, wait_ns: int, /) -> None:
        """Tell the caller of a refused request to wait so long, where a rule's own wait is shorter."""
    def reset_after_ns(self, index: int, /) -> int:
        """Return nanoseconds until the rule has its whole quota again (0: it has)."""
    def cost(self, index: int, /) -> int:
        """Return what the rule was asked for, or after `settle_rule` what it was really charged."""
    def key(self, index: int, /) -> int:
        """Return the 64-bit key of the rule's counter (for explanations; not an identity's hash)."""
    @property
    def share_quotas(self) -> tuple[int, ...] | None:
        """The rules' quotas where a host's share of them decided; None where they did themselves."""
    def ratelimit_field(self, labels: Sequence[bytes], /) -> bytes:
        """Return the RateLimit field value: for each rule not skipped `label` + `;r=N;t=S`, joined by ", ".

        A rule with an empty label is left out.

        Raises:
            ValueError: not one label a rule, or more than some 4,000 bytes of them.
        """
    witness: Callable[[int, int], None] | None
    """Called with a rule and the correction made, where this host's table was corrected; None at first."""
    def settle_rule(self, index: int, actual: int, now_ns: int, /) -> int:
        """Replace the charged cost of one rule by the real one; return the signed correction made.

        More is charged without asking, into debt of at most one further quota. Less is
        given back as far as it has not drained already; never twice; nothing if refused.
        """
    def undo(self, now_ns: int, /) -> None:
        """Give everything back, as `settle_rule(i, 0)` for each rule."""
    def take_back(self) -> None:
        """Give back what another store charged although the decision refused; states and costs stay."""
    def release(self, now_ns: int, /) -> None:
        """Free concurrency slots; idempotent. Not calling it is a leak until the lease ends."""
    @property
    def holds_slots(self) -> bool: ...
