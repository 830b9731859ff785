"""A worker killed in mid-stream: its slots come back, and what it had reserved stays charged (fault 52)."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import httpx

from tests.servers.serving import serving
from tests.servers.test_streams import left
from tests.support.policy_lines import tuned
from tests.support.stopwatch import Stopwatch

POLICY = """\
version = 1
[store]
memory = "{store}"
[identities]
account = {{ from = "header:x-api-key" }}
[[limit]]
name = "tokens"
per = "account"
unit = "output_tokens"
rate = "4000/year"
algorithm = "fixed-window"
cost = "declared"
usage = "auto"
[[limit]]
name = "at once"
per = "account"
concurrent = 2
"""
DECLARES = {"max_tokens": 60}
LEASE_S = 5
AWAKE_S = 60
"""How long a server may take to have another worker."""


async def test_slots_of_a_killed_worker_come_back_and_its_estimates_stay(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(tuned(POLICY.format(store=tmp_path / "store"), "slot_kept_s = 5\n"))
    headers = {"x-api-key": "a"}
    with Stopwatch() as watch, serving("uvicorn", policy, workers=2, app="tests.servers.streams:app") as port:
        base = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=base, timeout=60) as client:
            async with (
                client.stream("POST", "/hold", json=DECLARES, headers=headers) as one,
                client.stream("POST", "/hold", json=DECLARES, headers=headers) as other,
            ):
                # Held on to: a response with a reader that is dropped is closed.
                streams = [each.aiter_lines() for each in (one, other)]
                pids = {int(await anext(lines)) for lines in streams}
                assert (await client.post("/echo", json=DECLARES, headers=headers)).status_code == 429
                for pid in pids:
                    os.kill(pid, signal.SIGKILL)
                killed = time.monotonic()
            async with httpx.AsyncClient(base_url=base, timeout=60) as fresh:
                got, waited_s = await until_answered(fresh, headers, killed)
                # The dead last gave a sign of life two seconds before, at most, and what the machine took.
                assert waited_s > LEASE_S - 3 - watch.lost_s
                assert got.status_code == 200
                # Two estimates of 60 stay, and this request's own; what was refused took nothing.
                assert left(got) == 4000 - 3 * 60
                # Both slots are there again: this one and one more at the same time.
                again = await fresh.post("/echo", json=DECLARES, headers=headers)
                assert again.status_code == 200
                async with fresh.stream("POST", "/hold", json=DECLARES, headers=headers) as held:
                    lines = held.aiter_lines()
                    await anext(lines)
                    # The other dead worker may have given its last sign of life later than the first.
                    beside, _ = await until_answered(fresh, headers, killed)
                    assert beside.status_code == 200


async def until_answered(
    client: httpx.AsyncClient, headers: dict[str, str], since: float
) -> tuple[httpx.Response, float]:
    """Ask until a slot is free: when the lease of the dead is over; return the seconds until then, too."""
    with Stopwatch() as watch:
        while watch.s < LEASE_S + AWAKE_S:
            waited_s = time.monotonic() - since
            try:
                got = await client.post("/echo", json=DECLARES, headers=headers)
            except httpx.TransportError:
                continue  # a server without workers at this instant
            if got.status_code == 200:
                return got, waited_s
    raise AssertionError("no slot came back")
