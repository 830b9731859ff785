"""Acts on a customer's budget on hosts that share a server: in force on all, exact after, never lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ratelimit.inspection.acts import acting
from ratelimit.limiter import Limiter
from ratelimit.worker.upkeep import Upkeep
from tests.cli.running import in_group, run
from tests.support.redis.live import turns
from tests.support.redis.patience import until
from tests.support.redis.server import Server
from tests.support.stopwatch import Stopwatch

POLICY = """\
version = 1
[identities]
account = {{ from = "state:account" }}
[[limit]]
name = "requests"
per = "account"
rate = "8/year"
algorithm = "fixed-window"
budget = {{ from = "state:budget", most = 100 }}
[[limit]]
name = "bucket"
match = "/bucket"
per = "account"
rate = "8/year"
[store]
keys = 1000
url = "{url}"
prefix = "budgets"
memory = "{table}"
mode = "{mode}"
timeout = "5s"
[hashing]
key = "00112233445566778899aabbccddeeff"
"""


@pytest.fixture(params=["exact", "leased"])
def hosts(server: Server, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[list[Limiter]]:
    """Return two hosts with memory of their own, each with a worker that is kept up."""
    limiters, upkeeps = [], []
    for name in ("a", "b"):
        path = tmp_path / f"{name}.toml"
        path.write_text(POLICY.format(url=server.url, table=tmp_path / name, mode=request.param))
        limiters.append(Limiter(path))
        upkeeps.append(Upkeep(limiters[-1], 0))
        upkeeps[-1].start()
    until(lambda: len(told(tmp_path / "a.toml", "acts")["hosts"]) == 2, "hosts that say what they apply")
    yield limiters
    for upkeep, limiter in zip(upkeeps, limiters, strict=True):
        upkeep.stop()
        limiter.close()


def told(path: Path, command: str, *words: str) -> dict[str, Any]:
    sure = () if command in ("acts", "undo") or "show" in words else ("--yes",)
    first, *rest = words or ("",)
    if command != "budget":
        begin: tuple[object, ...] = (*in_group(command), path, *words)
    elif first == "show":
        begin = ("show", "budget", path, *rest)
    else:
        begin = ("act", "budget", first, path, *rest)
    result = run(*begin, *sure, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def admitted(hosts: list[Limiter], count: int = 60, path: str = "/", **state: Any) -> int:
    """Return how many of so many requests both hosts admit; asked again while a lease may hide room."""

    async def ask() -> int:
        found = 0
        for _ in range(3):
            named = {"account": "a", **state}
            asked = (hosts[at % 2].adecide(path=path, state=named) for at in range(count))
            found += sum(one.allowed for one in await asyncio.gather(*asked))
            await turns(150)
        for host in hosts:
            await host.aclose_connections()
        return found

    return asyncio.run(ask())


def test_change_at_run_time_is_in_force_on_both_hosts_and_exact_after(
    hosts: list[Limiter], tmp_path: Path
) -> None:
    assert admitted(hosts) == 8
    with Stopwatch() as watch:
        act = told(tmp_path / "a.toml", "budget", "set", "a", "requests=20", "--for", "7d")
    assert watch.s < acting.PATIENCE_S / 2  # not as long as it would wait for a host
    assert [each["applied"] for each in act["hosts"]] == [True, True]
    assert admitted(hosts) == 12
    assert admitted(hosts, account="b") == 8
    more = told(tmp_path / "b.toml", "budget", "add", "a", "requests=5")
    assert admitted(hosts) == 5
    assert told(tmp_path / "a.toml", "budget", "show", "a")["limits"][0]["used"] == 25
    told(tmp_path / "a.toml", "budget", "reset", "a")
    assert admitted(hosts) == 25
    told(tmp_path / "b.toml", "undo", more["act"])
    told(tmp_path / "b.toml", "undo", act["act"])
    assert admitted(hosts, budget=25) == 0  # a reset gave 25
    assert told(tmp_path / "a.toml", "budget", "show", "a")["limits"][0]["used"] == 50


@pytest.mark.parametrize("hosts", ["exact"], indirect=True)
def test_server_that_comes_back_empty_takes_no_number_back(
    hosts: list[Limiter], tmp_path: Path, server: Server
) -> None:
    told(tmp_path / "a.toml", "budget", "set", "a", "requests=20", "--for", "7d")
    server.client.flushall()
    until(lambda: server.client.llen("{budgets}:acts") == 2, "the log that hosts bring back")
    assert [act["numbers"] for act in told(tmp_path / "b.toml", "acts")["acts"]] == [{"requests": 20}]
    assert admitted(hosts) == 20


@pytest.mark.parametrize("hosts", ["exact", "leased"], indirect=True)
def test_bucket_on_the_server_gets_back_what_was_used(hosts: list[Limiter], tmp_path: Path) -> None:
    told(tmp_path / "a.toml", "budget", "set", "a", "requests=1000")
    assert admitted(hosts, path="/bucket") == 8
    act = told(tmp_path / "a.toml", "budget", "reset", "a", "bucket")
    assert act["numbers"] == {"bucket": 8}
    assert admitted(hosts, count=2, path="/bucket") == 6
    told(tmp_path / "b.toml", "undo", act["act"])
    assert admitted(hosts, path="/bucket") == 0
