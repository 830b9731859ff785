"""Conduct's parts in the compiled decider."""

from collections.abc import Collection
from typing import final

from ratelimit.conduct.conduct import Conduct
from ratelimit.core.sharing.conduct import ConductMemory
from ratelimit.deciding.guard import Guard

@final
class StrikeGuard(Guard):
    """Leaves accounts that struck, and certain members of a cluster, to the stage that lowers limits.

    Args:
        conduct: hears of refusals.
        positions: where identities are that strikes at limits count by.
    """

    def __init__(self, conduct: Conduct, positions: Collection[int]) -> None: ...

@final
class RiseGuard(Guard):
    """Leaves accounts that rise steeply to the stage that holds them, and counts what limits let through.

    Args:
        memory: what accounts used.
        usual: what any account may use in an hour.
    """

    def __init__(self, memory: ConductMemory, usual: int) -> None: ...
