"""A whole simulation: workers one after another over one store, two of three killed, and what is left."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.asgi.driver import Mounted, mount
from tests.asgi.simulated import ACCOUNTS, LEASE_S, RATE, SLOTS, Child, Ledger, policy

BY_A_WORKER = 4_000
"""Streams in the life of one worker."""
BETWEEN_S = 5
"""Time between the starts of two workers."""


@dataclass
class Found:
    """What a simulation came to."""

    total: Ledger
    workers: int
    charged_otherwise: int
    """Accounts of the two limits that were charged other than what they produced, to the unit."""
    slots_left: int
    """Slots still taken once all leases ran out, or not those that died with a worker."""
    reservations_left: str
    """What a worker that ended in order had not let go of; empty: nothing."""


def simulate(store: Path, count: int) -> Found:
    """Have so many streams end in every way there is."""
    random = Random(15)
    here = mount(policy(store))
    total = Ledger()
    under_way: deque[Child] = deque()
    workers = count // BY_A_WORKER
    for number in range(workers):
        dies_after = random.randrange(1, BY_A_WORKER) if number % 3 else None
        here.clock.advance(BETWEEN_S)
        under_way.append(Child(store, here.clock, f"15-{number}", BY_A_WORKER, dies_after))
        if len(under_way) == 2:
            total.add(under_way.popleft().ledger())
    for child in under_way:
        total.add(child.ledger())
    here.clock.advance(LEASE_S)
    slots = otherwise(remaining(here, 2), [SLOTS] * ACCOUNTS)
    last = Child(store, here.clock, "15-last", BY_A_WORKER, BY_A_WORKER - 1).ledger()
    total.add(last)
    charged = otherwise(remaining(here, 0), [RATE - due for due in total.due])
    charged += otherwise(remaining(here, 1), [RATE - total.due_of_all] * ACCOUNTS)
    held = [last.slots.get(str(account), 0) for account in range(ACCOUNTS)]
    slots += otherwise(remaining(here, 2), [SLOTS - one for one in held])
    here.clock.advance(LEASE_S)
    slots += otherwise(remaining(here, 2), [SLOTS] * ACCOUNTS)
    return Found(total, workers, charged, slots, total.left)


def otherwise(found: list[int], expected: list[int]) -> int:
    """Return how many numbers are not those that they should be."""
    return sum(one != other for one, other in zip(found, expected, strict=True))


def remaining(here: Mounted, at: int) -> list[int]:
    """Return what each account has left of a limit, by its position in the policy."""
    peek = here.middleware.limiter.peek
    costs = {"output_tokens": 0}
    return [
        peek(method="POST", identities={"account": str(account)}, costs=costs).verdicts[at].remaining
        for account in range(ACCOUNTS)
    ]
