"""`ratelimit explain --live` of a policy with counters in a server: it asks that, and charges nothing."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from ratelimit import Limiter
from ratelimit.conduct.model.strikes import Strike
from ratelimit.conduct.stage import conduct_of
from tests.cli.running import run
from tests.support.redis.server import Server
from tests.support.time import stop_host

POLICY = """\
version = 1
[store]
url = "{url}"
memory = "private"
[hashing]
key = "00112233445566778899aabbccddeeff"
[identities]
account = {{ from = "header:x-api-key" }}
[[limit]]
name = "one"
per = "account"
rate = "5/hour"
"""


def written(folder: Path, url: str) -> str:
    path = folder / "policy.toml"
    path.write_text(POLICY.format(url=url))
    return str(path)


def test_it_says_what_the_server_says_and_charges_nothing(server: Server, tmp_path: Path) -> None:
    policy = written(tmp_path, server.url)

    async def use(times: int) -> None:
        limiter = Limiter(policy)
        for _ in range(times):
            assert (await limiter.adecide(identities={"account": "me"})).allowed
        await limiter.aclose_connections()
        limiter.close()

    asyncio.run(use(3))
    for _ in range(2):
        told = run("explain", policy, "-r", "GET / header:x-api-key=me", "--live", "--json")
        assert told.exit_code == 0, told.output
        (limit,) = json.loads(told.stdout)["limits"]
        assert limit["remaining"] == 2
    asyncio.run(use(2))
    told = run("explain", policy, "-r", "GET / header:x-api-key=me", "--live")
    assert "refused by “one”" in told.stdout


def test_server_that_is_away_is_said(tmp_path: Path) -> None:
    policy = written(tmp_path, "redis://127.0.0.1:1/0")
    told = run("explain", policy, "-r", "GET / header:x-api-key=me", "--live")
    assert told.exit_code == 4
    assert "redis-away" in told.output
    assert "ratelimit doctor" in told.output


def test_it_says_what_is_left_by_the_conduct_that_this_host_remembers(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_host(monkeypatch)  # a strike is forgiven by and by
    policy = written(tmp_path, server.url)
    text = Path(policy).read_text().replace('memory = "private"', f'memory = "{tmp_path}/table"')
    Path(policy).write_text(text + "adaptive = true\n")
    limiter = Limiter(policy)
    bound = limiter.current
    assert conduct_of(bound) is not None
    conduct_of(bound).strike(bound.extractor.value_hash("account", "me"), Strike.PERSISTS, limiter.now_ns())
    told = run("explain", policy, "-r", "GET / header:x-api-key=me", "--live", "--json")
    limiter.close()
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)
    assert found["limits"][0]["factor"] == 0.5
    assert found["conduct"]["account"]["last"] == ["persists"]
