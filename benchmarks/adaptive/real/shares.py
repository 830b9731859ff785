"""Two kinds of callers before one saturated server: what each gets.

python -m benchmarks.adaptive.real.shares accounts|plans SECONDS SEED [SEED ...]

Both send three times together what the server can do. The first seconds are left out, in which it is not
known yet how many places there are.

*accounts*: one account sends twenty times as much as the other, with what is held in the gateway and without.
Fair is that an account that asks for less than half gets what it asks for.

*plans*: one request in six is of a plan that pays, and no `[[limit]]` is on the route. All of these are to be
answered.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from ratelimit.demo.engine import CAPACITY
from ratelimit.demo.run import listening
from ratelimit.demo.saturated import ENGINE, GATEWAY, PATIENCE_S, TARGET_S, TIMES
from tests.support.redis.port import free_port

POLICY = """\
version = 1
[store]
memory = "{table}"
[identities]
account = {{ from = "header:x-api-key" }}
[adaptive]
first_byte = "{target}ms"
mode = "{mode}"
[[limit]]
name = "requests"
match = "/*"
per = "account"
rate = "100000/second"
"""
BY_PLAN = """\
version = 1
[store]
memory = "{table}"
[identities]
plan = {{ from = "header:x-api-key" }}
[adaptive]
first_byte = "{target}ms"
mode = "{mode}"
[[class]]
name = "paid"
when = {{ plan = "pro" }}
[[class]]
name = "free"
match = "/*"
"""
WORLDS = {
    "accounts": (POLICY, {"many": 20.0, "few": 1.0}, ("shed", "enforce")),
    "plans": (BY_PLAN, {"pro": 1.0, "none": 5.0}, ("enforce",)),
}
"""The policy of each, how much each caller sends, and the modes of the limit that are played."""
LEFT_OUT_S = 3.0


@dataclass
class Got:
    """What one account got: requests that came, first bytes in seconds, and how many were in time."""

    came: int = 0
    waits_s: list[float] = field(default_factory=list)

    @property
    def in_time(self) -> int:
        return sum(wait_s <= TARGET_S for wait_s in self.waits_s)


async def play(world: str, mode: str, seconds: int, seed: int) -> dict[str, Got]:
    """Return what each caller got in one run.

    Raises:
        DemoFailed: a process did not start.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ratelimit-benchmark-")))
        engine, gateway = free_port(), free_port()
        policy = folder / "policy.toml"
        written, shares, _ = WORLDS[world]
        policy.write_text(written.format(table=folder / "table", target=round(1000 * TARGET_S), mode=mode))
        await stack.enter_async_context(listening(folder, ENGINE, engine))
        await stack.enter_async_context(listening(folder, GATEWAY, gateway, str(engine), str(policy)))
        return await _call(gateway, shares, seconds, seed)


async def _call(port: int, shares: dict[str, float], seconds: int, seed: int) -> dict[str, Got]:
    found = {account: Got() for account in shares}
    draws, loop = random.Random(seed), asyncio.get_running_loop()
    began, at = loop.time(), 0.0
    async with asyncio.TaskGroup() as group:
        while (at := at + draws.expovariate(TIMES * CAPACITY)) < seconds:
            await asyncio.sleep(began + at - loop.time())
            (account,) = draws.choices(list(shares), list(shares.values()))
            got = found[account] if at >= LEFT_OUT_S else Got()
            group.create_task(_ask(port, account, got, began + at))
    return found


async def _ask(port: int, account: str, got: Got, began: float) -> None:
    got.came += 1
    head = f"GET /v1/chat HTTP/1.1\r\nHost: gateway\r\nX-Api-Key: {account}\r\nConnection: close\r\n\r\n"
    try:
        async with asyncio.timeout(PATIENCE_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(head.encode())
                if (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1] == b"200":
                    await reader.read(1)
                    got.waits_s.append(asyncio.get_running_loop().time() - began)
                    await reader.read()
            finally:
                writer.close()
    except (OSError, asyncio.IncompleteReadError):  # a time-out is an OSError
        return


def main(world: str, seconds: int, seeds: Sequence[int]) -> None:
    """Play each mode in turn, and print what each caller got."""
    can = CAPACITY * (seconds - LEFT_OUT_S)
    for seed in seeds:
        for mode in WORLDS[world][2]:
            found = asyncio.run(play(world, mode, seconds, seed))
            in_time = sum(got.in_time for got in found.values())
            print(f'seed {seed}, mode = "{mode}": in time {100 * in_time / can:.0f} % of what it can')
            for account, got in found.items():
                half = sorted(got.waits_s)[len(got.waits_s) // 2] if got.waits_s else 0.0
                print(
                    f"  {account:5}{got.came:7,} came{len(got.waits_s):6,} answered "
                    f"({100 * len(got.waits_s) / max(1, got.came):.1f} %), p50 {half:.2f} s"
                )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), [int(seed) for seed in sys.argv[3:]])
