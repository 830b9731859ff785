"""The pick of allowances: by what a payer paid or used, the plan that its requests are asked."""

from collections.abc import Callable, Sequence
from typing import final

from ratelimit.allowance.model.levels import Grown
from ratelimit.allowance.records import Records
from ratelimit.deciding.picker import Picker
from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.stores.contract import Outcome

@final
class Places:
    """Where rows have what allowances go by: positions, -1 for nowhere.

    Args:
        payer: who pays.
        paid: what it paid, in millionths of a dollar.
        created: when the account was created, in seconds since 1970.
        address: where it asks from.
        origin: what is declared of that address: see `identity.origins`.
        accounts: what makes an account, together; without any there are no newcomers.
    """

    def __init__(
        self, payer: int, paid: int, created: int, address: int, origin: int, accounts: Sequence[int]
    ) -> None: ...
    @property
    def payer(self) -> int: ...
    @property
    def paid(self) -> int: ...
    @property
    def created(self) -> int: ...
    @property
    def address(self) -> int: ...
    @property
    def origin(self) -> int: ...

@final
class AllowancePicker(Picker):
    """Picks the plan with a payer's allowances.

    Args:
        make: makes the plan of some levels, one for each allowance that can be earned; None: of requests
            that no allowance covers. Called once for each while it is kept.
        places: where rows have what allowances go by.
        levels: the allowances that can be earned.
        records: what is remembered of payers; None: nothing.
    """

    def __new__(
        cls,
        make: Callable[[tuple[int, ...] | None], RoutePlan],
        places: Places,
        levels: Sequence[Grown],
        records: Records | None = None,
        /,
    ) -> AllowancePicker: ...
    def told(self, row: list[int], now_ns: int, /) -> tuple[int, int, list[tuple[int, float]]] | None:
        """Return the standing of a row, its settled micro-dollars, and the level and best day of each allowance.

        None without a payer.
        """

@final
class AllowanceNotes(Picker):
    """Remembers what the windows of a payer held after each charge. It picks nothing.

    Args:
        records: where.
        payer_at: the position of the payer.
        salts: of each allowance of a plan its position, and what tells its records from others'.
    """

    def __init__(self, records: Records, payer_at: int, salts: Sequence[tuple[int, int]], /) -> None: ...

def note_refused(outcome: Outcome, row: list[int], /) -> None:
    """Note the payers of a row whose allowances had no room; nothing where a server keeps them."""

def record_key(payer: int, salt: int, /) -> int:
    """Return what a payer's use of a limit is remembered by: the payer itself without a salt."""
