"""Streams by the hundred thousand that end in every way there is: charged is what was produced.

They run in worker processes over one store, two at a time. Two of three workers are killed in the
midst of their streams.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from random import Random

import pytest

from tests.asgi.driver import Mounted, mount
from tests.asgi.simulated import ACCOUNTS, LEASE_S, RATE, SLOTS, Child, Ledger, policy

BY_A_WORKER = 4_000
"""Streams in the life of one worker."""
BETWEEN_S = 5
"""Time between the starts of two workers."""


def test_streams_that_end_in_every_way_are_charged_what_they_produced(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Hang-ups, errors, cancellations, GeneratorExit, dead workers: exact, or never less than seen."""
    count = int(request.config.getoption("--streams"))
    random = Random(15)
    store = tmp_path / "store"
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
    assert remaining(here, 2) == [SLOTS] * ACCOUNTS, "a slot is left"
    last = Child(store, here.clock, "15-last", BY_A_WORKER, BY_A_WORKER - 1).ledger()
    total.add(last)
    assert total.left == ""
    assert remaining(here, 0) == [RATE - due for due in total.due]
    assert remaining(here, 1) == [RATE - total.due_of_all] * ACCOUNTS
    held = [last.slots.get(str(account), 0) for account in range(ACCOUNTS)]
    assert sum(held) > 10
    assert remaining(here, 2) == [SLOTS - slots for slots in held]
    here.clock.advance(LEASE_S)
    assert remaining(here, 2) == [SLOTS] * ACCOUNTS
    assert total.exact > count / 5
    assert total.seen > count / 40
    assert total.lost > workers * 10


def remaining(here: Mounted, at: int) -> list[int]:
    """Return what each account has left of a limit, by its position in the policy."""
    peek = here.middleware.limiter.peek
    costs = {"output_tokens": 0}
    return [
        peek(method="POST", identities={"account": str(account)}, costs=costs).verdicts[at].remaining
        for account in range(ACCOUNTS)
    ]
