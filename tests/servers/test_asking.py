"""Limits that routes ask for, behind a real server with two workers: exactly the limit between them."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from pathlib import Path

import httpx

from tests.servers.serving import serving

AWAKE_S = 60
"""How long a server may take to have both workers."""

POLICY = """\
version = 1
[store]
memory = "{store}"
[identities]
account = {{ from = "state:account" }}
[[limit]]
name = "budget"
match = []
per = "account"
rate = "60/day"
"""


async def both_answer(url: str) -> bool:
    """Return whether two workers answer; a busy machine may give one of them a whole burst."""
    workers: set[str] = set()
    probes = itertools.count()
    deadline_s = time.monotonic() + AWAKE_S  # the second one may start seconds after the first
    while time.monotonic() < deadline_s:
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:  # with connections of its own
            headers = {"x-api-key": f"probe{next(probes)}"}
            found = await asyncio.gather(*(client.get("/search", headers=headers) for _ in range(20)))
        workers |= {answer.text for answer in found if answer.status_code == 200}
        if len(workers) == 2:
            return True
    return False


async def test_two_workers_admit_exactly_what_routes_ask_for(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY.format(store=tmp_path / "store"))
    with serving("uvicorn", policy, workers=2, app="tests.servers.asking:app") as port:
        assert await both_answer(f"http://127.0.0.1:{port}"), "one worker answered all: nothing is shared"
        limits = httpx.Limits(max_connections=30)
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", limits=limits, timeout=60
        ) as client:
            asked = [("/search", "a")] * 90 + [("/search", "b")] * 60
            answers = await asyncio.gather(
                *(client.get(path, headers={"x-api-key": key}) for path, key in asked)
            )
            seen = Counter((key, answer.status_code) for (_, key), answer in zip(asked, answers, strict=True))
            assert seen == {("a", 200): 40, ("a", 429): 50, ("b", 200): 40, ("b", 429): 20}

            asked = [("/upload", "a")] * 8 + [("/small", "a")] * 50
            answers = await asyncio.gather(
                *(client.get(path, headers={"x-api-key": key}) for path, key in asked)
            )
            admitted = Counter(
                path for (path, _), each in zip(asked, answers, strict=True) if each.is_success
            )
            assert 5 * admitted["/upload"] + admitted["/small"] == 60
