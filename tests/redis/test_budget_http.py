"""Budgets over HTTP on hosts that share a server: in force on both soon, once whatever host is asked."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ratelimit.errors import StoreError
from ratelimit.inspection.acts import acting
from ratelimit.limiter import Limiter
from ratelimit.stores.redis.acts import ServerActs
from tests.budgets.test_http import Caller
from tests.cli.running import run
from tests.redis.test_budget_acts import admitted
from tests.redis.test_budget_acts import hosts as hosts  # a fixture
from tests.support.redis.patience import until
from tests.support.redis.server import Server
from tests.support.stopwatch import Stopwatch


@pytest.mark.parametrize("hosts", ["exact"], indirect=True)
def test_top_up_is_in_force_on_both_hosts_and_a_retry_at_the_other_adds_nothing(
    hosts: list[Limiter], tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (Caller(tmp_path / f"{name}.toml") for name in ("a", "b"))
    assert admitted(hosts) == 8
    body: dict[str, Any] = {"account": "a", "numbers": {"requests": 5}, "confirm": True}
    with Stopwatch() as watch:
        done = first.done("/add", "invoice 1", **body)
    assert [each["applied"] for each in done["hosts"]] == [True, True]
    assert watch.s < acting.PATIENCE_S / 2  # not as long as it would wait for a host

    def is_in_the_journal() -> bool:
        lines = run("journal", tmp_path / "b.toml", "--json").stdout.splitlines()
        made = [line for line in lines if "act-made" in line]
        return any("billing, as " in line and "budget-more" in line for line in made)

    until(is_in_the_journal, "the act in the journal, with its author")
    again = second.done("/add", "invoice 1", **body)
    assert (again["is_repeated"], again["acts"][0]["act"]) == (True, done["acts"][0]["act"])
    assert admitted(hosts) == 5
    # The same at one moment, by both hosts: a window, then a bucket, which has none.
    first.done("/set", account="a", numbers={"requests": 1000}, confirm=True)
    assert admitted(hosts, path="/bucket") == 8

    async def both(numbers: dict[str, int], key: str) -> list[Any]:
        asked = {"account": "a", "numbers": numbers}
        calls = (each.ask("POST", "/add", asked, key) for each in (first, second, first, second))
        return await asyncio.gather(*calls)

    for numbers, key in (({"requests": 3}, "invoice 2"), ({"bucket": 3}, "invoice 3")):
        answers = asyncio.run(both(numbers, key))
        assert {answer.status_code for answer in answers} <= {200, 503}
        made = {answer.json()["acts"][0]["act"] for answer in answers if answer.status_code == 200}
        assert len(made) == 1
        assert second.done("/add", key, account="a", numbers=numbers)["acts"][0]["act"] in made
    assert admitted(hosts, path="/bucket") == 3
    kinds = [act["kind"] for act in second("GET", "/acts").json()["acts"]]
    assert sorted(kinds) == ["budget", "budget-back", "budget-more", "budget-more"]
    # What the server lost is brought back by the hosts, and with it which calls were done.
    server.client.flushall()
    assert first.done("/add", "invoice 2", account="a", numbers={"requests": 3})["is_repeated"]

    monkeypatch.setattr(ServerActs, "claim", _away)
    answer = first("POST", "/add", {"account": "a", "numbers": {"requests": 1}}, "invoice 4")
    assert (answer.status_code, answer.json()["code"]) == (503, "budget-deployment")


def _away(*_: Any) -> bool:
    raise StoreError("the server does not answer", code="redis-unreachable", transient=True)
