"""One caller on two screens: what they say of it is one thing, by one name."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ratelimit.limiter import Limiter
from tests.cli.running import in_group, run
from tests.console.driving import reading
from tests.support.redis.server import Server

POLICY = """\
version = 1
[identities]
account = {{ from = "header:x-api-key" }}
[[limit]]
name = "spend"
match = "/v1/*"
per = "account"
unit = "usd"
cost = 0
rate = "1/hour"
[[limit]]
name = "requests"
match = "/v1/*"
per = "account"
rate = "4/hour"
[store]
keys = 1000
url = "{url}"
prefix = "one-caller"
timeout = "5s"
memory = "{table}"
[hashing]
key = "00112233445566778899aabbccddeeff"
"""


@pytest.fixture
def hosts(server: Server, tmp_path: Path) -> Iterator[tuple[Path, Limiter]]:
    """Return the policy of the host that a person asks, and a worker of another host."""
    server.client.flushall()
    with ExitStack() as stack:
        workers = []
        for name in ("web-1", "web-2"):
            path = tmp_path / f"{name}.toml"
            path.write_text(POLICY.format(url=server.url, table=tmp_path / name))
            workers.append(Limiter(path))
            stack.callback(workers[-1].close)
        yield tmp_path / "web-1.toml", workers[1]


def told(policy: Path, command: str, *more: str) -> dict[str, Any]:
    result = run(*in_group(command), policy, *more, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def shown(policy: Path, command: str, *more: str) -> str:
    return " ".join(run(*in_group(command), policy, *more).stdout.split())


def spends(worker: Limiter, usd: int) -> None:
    """Make a request that uses so many millionths of a dollar, as its answer says."""

    async def ask() -> None:
        headers = [(b"x-api-key", b"c-5")]
        decision = await worker.adecide(path="/v1/x", headers=headers, client="192.0.2.1")
        assert decision.allowed
        decision.settle(usd=usd)
        decision.release(200)
        await worker.aclose_connections()

    asyncio.run(ask())


def test_who_and_show_budget_say_both_times_by_their_names(hosts: tuple[Path, Limiter]) -> None:
    """Hazard: "2.65 s" on one screen and "60 minutes" on the other, of one limit of one caller."""
    policy, worker = hosts
    spends(worker, 1_010_000)  # owes 0.01 dollars, which is 36 s
    (left,) = [each for each in told(policy, "who", "c-5")["limits"] if each["limit"] == "spend"]
    (budget,) = [each for each in told(policy, "budget", "c-5")["limits"] if each["limit"] == "spend"]
    assert (left["refuses"], left["next_takes"]) == (budget["refuses"], budget["next_takes"]) == (True, 0)
    for times in (left, budget):
        assert 25 < times["retry_after"] <= 36.1
        assert 3600 < times["reset_after"] <= 3636.1
    for screen in (shown(policy, "who", "c-5"), shown(policy, "budget", "c-5")):
        assert "refuses: the next request fits in " in screen
        assert screen.count("all again in ") == 2  # of `requests` as well, which has room
        assert " s, all again in 60" in screen
    with reading(policy) as pages:
        page = pages.find("c-5").text
    assert "refuses: the next request fits in " in page
    assert " s , all again in 60" in page  # tags are blanks here


def test_a_preview_says_the_same_of_what_would_still_refuse(hosts: tuple[Path, Limiter]) -> None:
    policy, worker = hosts
    spends(worker, 1_010_000)
    preview = run("act", "budget", "set", policy, "c-5", "requests=9", "--dry-run").output
    assert "`spend` still refuses it, as account: the next request fits in " in " ".join(preview.split())
