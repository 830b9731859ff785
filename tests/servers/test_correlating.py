"""A campaign against a real server with two workers: one actor to both, on one budget."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.servers.serving import PATIENCE_S, serving
from tests.support.campaign import Request, campaign, policy_text
from tests.support.policy_lines import at_top
from tests.support.stopwatch import Stopwatch


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    text = policy_text(
        store=f'memory = "{tmp_path / "store"}"',
        budget="100/day",
        snapshot=str(tmp_path / "snapshot"),
        tuning="rebuild_s = 1\nhome_new_s = 0",
    )
    trust = 'proxies = ["127.0.0.1"]\n'
    path.write_text(at_top(text, trust.strip()))
    return path


async def test_campaign_through_two_workers_is_one_actor(policy: Path) -> None:
    requests = list(campaign(honest=100, hours=4))
    with serving("uvicorn", policy, workers=2) as port:
        address = f"http://127.0.0.1:{port}"
        # Connections that are kept would all be those of whichever worker was ready first.
        limits = httpx.Limits(max_connections=20, max_keepalive_connections=0)
        async with httpx.AsyncClient(base_url=address, limits=limits, timeout=60) as client:
            pids: set[str] = set()

            async def ask(request: Request) -> int:
                headers = [*request.headers, (b"x-forwarded-for", request.address.encode())]
                answer = await client.get("/v1/chat", headers=headers)
                if answer.status_code == 200:
                    pids.add(answer.text)
                return answer.status_code

            async def all_of(some: list[Request]) -> Counter[tuple[str, int]]:
                counts: Counter[tuple[str, int]] = Counter()
                for start in range(0, len(some), 20):
                    part = some[start : start + 20]
                    for request, status in zip(part, await asyncio.gather(*map(ask, part)), strict=True):
                        counts[request.account.rstrip("0123456789"), status] += 1
                return counts

            with Stopwatch() as watch:
                while len(pids) < 2:  # the second worker may start seconds after the first
                    assert watch.s < PATIENCE_S, "one worker answered all"
                    await all_of([Request(0, f"early{n}", "", "", f"82.{n}.0.1") for n in range(20)])
            counts = await all_of(requests)
            bots = [Request(0, f"bot{n}", "", "", "45.0.0.7") for n in range(60)]
            pause = threading.Event()
            with Stopwatch() as watch:
                while not counts["bot", 429]:
                    assert watch.s < PATIENCE_S, "the campaign was not found"
                    pause.wait(1)  # correlating goes by the server's own clock
                    counts += await all_of(bots)
            # From then on the campaign has what is left of one budget, whichever worker it asks.
            again = await all_of(bots * 3)
            assert again["bot", 200] == 0
            people = [Request(0, f"person{n}", "", "", f"81.{n}.0.1") for n in range(100)]
            assert await all_of(people) == {("person", 200): 100}
