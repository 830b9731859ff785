"""What was used and what is in flight stay within so many budgets where a server counts, for all workers."""

from __future__ import annotations

import pytest

from tests.asgi.test_exposure import ATTACKS, BUDGET, EXPOSURE, Workers
from tests.support.redis.live import patient, rules
from tests.support.redis.server import Server

TOKENS = 'per = "account"\nrate = "{rate}/hour"\nunit = "output_tokens"\nusage = "auto"\n'


@pytest.mark.parametrize("mode", ["exact", "leased"])
@pytest.mark.parametrize("attack", ATTACKS)
async def test_burst_uses_no_more_than_the_exposure(server: Server, attack: str, mode: str) -> None:
    past, burst, words = ATTACKS[attack]
    words = {"cost": "learned", **words}
    more = "".join(
        f"{name} = {value if type(value) is int else repr(value)}\n" for name, value in words.items()
    )
    text = rules(server.url, TOKENS.format(rate=BUDGET) + more, mode=mode)
    under = Workers(lambda: patient(text), 4)
    await under.one_by_one(past)
    for limiter in under.limiters:
        await limiter.batch_client.settled()
    await under.burst(burst)
    assert BUDGET * 0.3 <= under.provider.used <= BUDGET * EXPOSURE
    for limiter in under.limiters:
        await limiter.aclose()
