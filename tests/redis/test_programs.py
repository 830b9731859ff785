"""Random programs of requests where a server counts: two workers that ask it, or have leases."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from tests.support.redis.live import patient, rules, turns
from tests.support.redis.server import Server
from tests.usage.programs import ACCOUNTS, BUDGET, EXPOSURE, PRICE_TABLES, Program, limits


@pytest.mark.parametrize("mode", ["exact", "leased"])
@pytest.mark.parametrize("form", ["exposure", "grant"])
async def test_programs_cost_what_they_produced(server: Server, request: Any, form: str, mode: str) -> None:
    for seed in range(max(1, request.config.getoption("--programs") // 2)):
        server.client.flushall()
        text = rules(server.url, *limits(form, cuts=False), mode=mode) + PRICE_TABLES
        limiters = [patient(text) for _ in range(2)]

        async def settled(limiters: Any = limiters) -> None:
            for limiter in limiters:
                await limiter.batch_client.settled()

        async def nothing() -> None:
            await turns(1)

        program = Program(Random(f"{form} {mode} {seed}"), limiters, b"x-account", settled, form)
        await program.run(nothing)
        if mode == "leased":  # what workers hold of a budget goes back when they leave
            for limiter in limiters:
                await limiter.aclose()
            limiters[:] = [patient(text)]
            program.limiters = limiters
        await program.check(at_rest=True)
        # Leases are units that one worker has and another does not see.
        most = (1 if form == "grant" else EXPOSURE) * BUDGET
        assert max(program.produced.values()) <= most, (seed, program.produced)
        assert program.refused, ACCOUNTS
        for limiter in limiters:
            await limiter.aclose()
