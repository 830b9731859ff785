"""Random programs of requests in this host's memory: exposure, grants, receipts of several models."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from ratelimit import Limiter, ManualClock, Policy
from ratelimit.stores.embedded.store import EmbeddedStore
from tests.usage.programs import BUDGET, EXPOSURE, PRICE_TABLES, Program, limits

FORMS = ("exposure", "full", "grant")


def text_of(form: str, *, cuts: bool) -> str:
    tables = "".join(
        f'[[limit]]\nname = "l{number}"\n{lines}' for number, lines in enumerate(limits(form, cuts=cuts))
    )
    return f'version = 1\n[identities]\naccount = {{ from = "header:x-account" }}\n{tables}{PRICE_TABLES}'


async def nothing() -> None:
    await asyncio.sleep(0)


@pytest.mark.parametrize("cuts", [False, True])
@pytest.mark.parametrize("form", FORMS)
async def test_programs_cost_what_they_produced(request: Any, form: str, cuts: bool) -> None:
    """Held equal after each step: charges by receipts, and what is in flight. Bounded: what is produced."""
    refused = cut = 0
    for seed in range(request.config.getoption("--programs")):
        clock = ManualClock()
        store = EmbeddedStore.private(keys=1000, clock=clock)
        policy = Policy.from_toml(text_of(form, cuts=cuts))
        limiters = [Limiter(policy, store=store, clock=clock) for _ in range(2)]
        program = Program(Random(f"{form} {cuts} {seed}"), limiters, b"x-account", nothing, form)
        try:
            await program.run(lambda one=program: one.check(at_rest=False))
            await program.check(at_rest=True)
        except AssertionError as error:
            raise AssertionError(f"{form}, cuts {cuts}, seed {seed}: {error}") from error
        most = BUDGET if form in ("grant", "full") else EXPOSURE * BUDGET
        assert max(program.produced.values()) <= most, (seed, program.produced)
        refused += program.refused
        cut += sum(call.how == "cut" for call in program.calls)
        for limiter in limiters:
            limiter.close()
        store.close()
    assert refused, "budgets are used up"
    assert cut or not cuts or form != "exposure"
