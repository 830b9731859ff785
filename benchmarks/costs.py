"""Token budgets under streams: do they hold, whatever the streams do?

Streams by the million end in every way there is, and two of three workers are killed. What each stream was
charged is compared with what it produced. Bursts of hundreds of requests at once ask for long
answers: what was served is compared with the budget. The rest is what tests hold: answers through real
servers byte for byte, each shape split at every byte, one wake-up a release.

What reading costs is asked by `usage`, waiting by `queue`, requests that use none of it by `instructions`.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys

from benchmarks.report import Answer, Row
from benchmarks.settings import Settings
from tests.asgi.driver import limit, mount, rules
from tests.asgi.metered import BUDGET, policy, posting
from tests.asgi.simulation import simulate
from tests.asgi.test_bursts import Model, burst

NAME = "costs"
STREAMS, QUICK_STREAMS = 1_000_000, 20_000
LONG = 2_000
"""Tokens of a long answer."""
HELD = {
    "answers that change through uvicorn, hypercorn or granian": "tests/servers/test_streams.py",
    "shapes not exact split at every byte, or with usage in their text": "tests/usage/test_reading.py",
    "releases that wake other than one waiter": "tests/waiting/test_waiting.py -k wake",
    "evasions that work": "tests/asgi/test_evasion.py",
}


def answer(settings: Settings) -> Answer:
    """Return what the question came to."""
    found = Answer(NAME, "Does a token budget hold, whatever its streams do?")
    count = QUICK_STREAMS if settings.quick else STREAMS
    simulation = simulate(settings.scratch / "streams", count)
    total = simulation.total
    found.rows += [
        Row(f"{count:,} streams: accounts charged other than produced", simulation.charged_otherwise, "", 0),
        Row("slots left", simulation.slots_left, "", 0),
        Row("reservations left", int(bool(simulation.reservations_left)), "", 0),
    ]
    found.notes.append(
        f"{total.exact:,} streams said their usage, {total.seen:,} were seen in part, and {total.lost:,} "
        f"were under way in workers that were killed; {simulation.workers} workers."
    )
    found.rows += asyncio.run(_bursts())
    found.rows += [Row(f"{what} ({where.split()[0]})", _failed(where), "", 0) for what, where in HELD.items()]
    found.notes.append("LiteLLM and the example under 500 streams: python -m benchmarks.llm")
    return found


async def _bursts() -> list[Row]:
    return [
        Row("600 at once on 100 tokens, maxima declared: tokens over", await _declared(), "", 0),
        *await _undeclared(),
        Row("500 x 2,000 tokens, nothing declared, learned: of the budget", await _learned(), "", 1.1),
        Row("the same where answers of 300 tokens were usual", await _learned(300), ""),
        Row("600 declare a million: honest neighbours refused", await _neighbours_refused(), "", 0),
    ]


async def _declared() -> int:
    model = Model()
    mounted = mount(policy(rate=100, cost="declared"), model)
    await burst(mounted, [{"max_tokens": 10, "wants": 10}] * 600, model.gate)
    return model.served - 100


async def _undeclared() -> list[Row]:
    """Nothing declared and nothing learned: what is served beyond the budget, and the bound that is shown."""
    model = Model()
    mounted = mount(policy(rate=BUDGET, cost="learned"), model)
    limiter = mounted.middleware.limiter
    model.gate.clear()
    client = posting(mounted)
    sent = [asyncio.ensure_future(client.post({"wants": LONG}, 4096)) for _ in range(600)]
    for _ in range(30):
        await asyncio.sleep(0)
    shown = limiter.unsettled_units.get("tokens", 0)
    model.gate.set()
    statuses = [each.status for each in await asyncio.gather(*sent)]
    admitted = statuses.count(200)
    over = max(0, model.served - BUDGET)
    bound = admitted * LONG - shown
    return [
        Row("the same without maxima, cold: tokens over, by the published bound", over / bound, "", 1),
        Row("what the gauge shows of the estimates in flight", shown / (admitted * 1024), "", 1),
    ]


async def _learned(usual: int = LONG) -> float:
    """Return how much of the budget a burst of long answers gets, after 50 requests that got usual ones."""
    model = Model()
    mounted = mount(policy(rate=BUDGET, cost="learned"), model)
    client = posting(mounted)
    for _ in range(50):
        await client.post({"wants": usual}, 4096)
        mounted.clock.advance(3600.0)
    model.served = 0
    await burst(mounted, [{"wants": LONG}] * 500, model.gate)
    return model.served / BUDGET


async def _neighbours_refused() -> int:
    words = {"unit": "output_tokens", "usage": "auto", "cost": "declared", "algorithm": "fixed-window"}
    organisation = limit("organisation", per="organisation", rate=f"{BUDGET}/hour", **words)
    identities = 'account = { from = "header:x-api-key" }\norganisation = { from = "state:organisation" }'
    model = Model()
    mounted = mount(rules(organisation, identities=identities), model)
    client = posting(mounted)

    async def ask(declared: int, account: str) -> int:
        document, state = {"max_tokens": declared, "wants": 100}, {"organisation": "o"}
        return (await client.post(document, 4096, account=account, state=state)).status

    for _ in range(25):
        await ask(200, "teacher")
    model.gate.clear()
    greedy = [asyncio.ensure_future(ask(1_000_000, "greedy")) for _ in range(600)]
    for _ in range(50):
        await asyncio.sleep(0)
    honest = [asyncio.ensure_future(ask(200, "honest")) for _ in range(10)]
    for _ in range(50):
        await asyncio.sleep(0)
    model.gate.set()
    await asyncio.gather(*greedy)
    return sum(status != 200 for status in await asyncio.gather(*honest))


def _failed(where: str) -> int:
    """Return whether tests failed: 0 if they passed."""
    command = [sys.executable, "-m", "pytest", "-q", *where.split()]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return int(ended.returncode != 0)
