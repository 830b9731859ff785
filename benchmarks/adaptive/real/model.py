"""A real engine at three times its load: llama.cpp with a small model, four places, one thread.

python -m benchmarks.adaptive.real.model SECONDS SEED [SEED ...]

`make gateway` installs the engine. Its capacity is measured first: four callers, each with its next
request when it has its answer. Then callers come at random, three times as many, whether or not the ones
before were answered; each goes after eight seconds. Prompts differ, and nothing of them is kept.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ratelimit.demo.run import listening
from ratelimit.demo.saturated import TIMES, Outcome, Second, ask
from tests.support.engine import ENGINE, engine
from tests.support.redis.port import free_port

GATEWAY = "benchmarks.adaptive.real.model_gateway"
PLACES = 4
TARGET_S = 2.0
SETTLING_S = 10
"""Seconds in which a limit does not know yet how many places there are; they are counted apart."""
PROMPT_WORDS, ANSWER_TOKENS = 12, 12
MEASURED_S = 10.0
POLICY = """\
version = 1
[store]
memory = "{table}"
[adaptive]
{keys}
"""


@dataclass(frozen=True, slots=True)
class Means:
    """A gateway before the engine: without a limit, or with one of these keys.

    `is_calm_first`: while it settles, half of what the engine can do comes.
    """

    name: str
    keys: str | None = None
    is_calm_first: bool = False


MEANS = (
    Means("nothing"),
    Means("[adaptive] first_byte", f'first_byte = "{TARGET_S:g}s"'),
    Means("[adaptive], learned", ""),
    Means("[adaptive], learned, calm at first", "", is_calm_first=True),
    Means(
        "[adaptive] first_byte, reports", f'first_byte = "{TARGET_S:g}s"\nreports = ["{{engine}}/metrics"]'
    ),
)
SHORT = MEANS[:2]


def request_of(draws: random.Random) -> bytes:
    """Return a request whose prompt no other one begins with."""
    words = " ".join(f"{draws.randrange(10**4)}" for _ in range(PROMPT_WORDS))
    asked = {"prompt": words, "max_tokens": ANSWER_TOKENS, "ignore_eos": True, "stream": True}
    body = json.dumps(asked | {"cache_prompt": False}).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: here\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Content-Type: application/json\r\nConnection: close\r\n\r\n".encode() + body


async def capacity(port: int, seconds: float, seed: int) -> float:
    """Return how many answers a second the engine gives to as many callers as it has places."""
    loop, draws = asyncio.get_running_loop(), random.Random(seed)
    end = loop.time() + seconds
    done: list[float] = []

    async def one() -> None:
        while loop.time() < end:
            second = Second()
            await ask(port, request_of(draws), second, loop.time(), TARGET_S)
            done.extend(second.waits_s and [loop.time()])

    await asyncio.gather(*(one() for _ in range(PLACES)))
    return sum(at <= end for at in done) / seconds


def _rate(means: Means, can: float, at: float) -> float:
    """Return how many callers come a second, so many seconds after the beginning."""
    return can / 2 if means.is_calm_first and at < SETTLING_S else TIMES * can


async def played(means: Means, address: str, can: float, seconds: int, seed: int) -> Outcome:
    """Return what became of the callers of one run, before an engine that can answer so many a second."""
    outcome = Outcome([Second() for _ in range(seconds)])
    draws, loop = random.Random(seed), asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ratelimit-benchmark-")))
        port, words = free_port(), [address]
        if means.keys is not None:
            policy = folder / "policy.toml"
            keys = means.keys.replace("{engine}", address)
            policy.write_text(POLICY.format(table=folder / "table", keys=keys))
            words.append(str(policy))
        await stack.enter_async_context(listening(folder, GATEWAY, port, *words))
        began, at = loop.time(), 0.0
        async with asyncio.TaskGroup() as group:
            while (at := at + draws.expovariate(_rate(means, can, at))) < seconds:
                await asyncio.sleep(began + at - loop.time())
                outcome.late_s = max(outcome.late_s, loop.time() - began - at)
                request, second = request_of(draws), outcome.seconds[int(at)]
                group.create_task(ask(port, request, second, began + at, TARGET_S))
    return outcome


def play(
    seconds: int, seeds: Sequence[int], means: Sequence[Means] = MEANS
) -> dict[str, tuple[float, Outcome]]:
    """Play each means with each seed, and print them; return capacity and outcome after settling."""
    if not ENGINE.exists():
        raise SystemExit("`make gateway` installs the engine")
    found: dict[str, tuple[float, Outcome]] = {}
    for one in means:
        whole, can = Outcome(), 0.0
        for seed in seeds:
            with tempfile.TemporaryDirectory() as folder, engine(Path(folder) / "engine.log") as address:
                port = urlsplit(address).port
                assert port is not None
                rate = asyncio.run(capacity(port, MEASURED_S, seed))
                outcome = asyncio.run(played(one, address, rate, seconds, seed))
                can += rate * (seconds - SETTLING_S)
                whole.late_s = max(whole.late_s, outcome.late_s)
                _print(
                    f"{one.name}, seed {seed}, first {SETTLING_S} s",
                    rate * SETTLING_S,
                    outcome.part(0, SETTLING_S),
                )
                whole.seconds += outcome.seconds[SETTLING_S:]
        _print(f"{one.name}, after", can, whole)
        found[one.name] = can, whole
    print(
        f"First bytes are to come within {TARGET_S:g} s. Callers of the last came "
        f"{1000 * whole.late_s:.0f} ms late at most."
    )
    return found


def _print(title: str, can: float, outcome: Outcome) -> None:
    waits = " · ".join(f"{outcome.wait_s(share):.2f}" for share in (0.5, 0.95, 0.99))
    share = f"{100 * outcome.in_time / can:.0f} %" if can else "-"
    print(
        f"{title:50} came {outcome.came:4}  in time {outcome.in_time:4} = {share:>5} of {can:.0f}  "
        f"first byte {waits} s  refused {outcome.refused:4}  gave up {outcome.given_up:4}",
        flush=True,
    )


if __name__ == "__main__":
    play(int(sys.argv[1]), [int(seed) for seed in sys.argv[2:]] or [1])
