"""All hosts that share a server at one moment: for `ratelimit top` and the console."""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from ratelimit.limiter import Limiter
from tests.cli.running import run
from tests.console.driving import reading
from tests.redis.test_acts import hosts as hosts
from tests.redis.test_acts import wait_for_hosts
from tests.support.redis.server import Server


@pytest.fixture
async def refusing(hosts: list[Limiter], tmp_path: Path) -> Path:
    """Return the policy of host a; both hosts were asked, and b refused."""
    await asyncio.to_thread(wait_for_hosts, tmp_path / "a.toml", 2)
    for limiter, times in zip(hosts, (1, 5), strict=True):
        for _ in range(times):
            await limiter.adecide(identities={"account": "c-5"})
        await limiter.store.aclose_connections()
    return tmp_path / "a.toml"


def top(path: Path) -> dict[str, Any]:
    result = run("top", path, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_hosts_answer_for_themselves(refusing: Path) -> None:
    found = top(refusing)
    # How many it refuses depends on whether a slow server was waited for.
    (one, none), (five, some) = sorted((each["decided"], each["refused"]) for each in found["hosts"])
    assert (one, none, five) == (1, 0, 5)
    assert some >= 1
    assert {each["answered"] for each in found["hosts"]} == {True}
    assert (found["limits"][0]["allowed"], found["limits"][0]["refused"]) == (6 - some, some)
    assert found["workers"] == 2
    assert [(each["limit"], each["refused"]) for each in found["callers"]] == [("requests", some)]
    assert found["missing"] == []


def test_the_console_shows_every_host(refusing: Path) -> None:
    with reading(refusing) as reader:
        page = reader.get("/")
        assert page.text.count("answers") == 2
        assert re.search(r"answers 1 5 [2468]0 %", page.text)
        limit = reader.get("/limit?name=requests")
        person = reader.get(limit.link("/person?who="))
        assert "No answer" not in person.text
        assert re.search(r"requests [1-5] refused account [0-9a-f]{8}", person.text)
        done = reader.send(reader.send(person.form("Stop")).form("Do it"))
        assert done.text.count("applies all acts") + done.text.count("not confirmed yet") == 2


def test_a_host_that_does_not_answer_is_named(refusing: Path, server: Server) -> None:
    at_ms = time.time_ns() // 1_000_000
    said = '{"host": "gone", "digest": "", "workers": 2}'
    server.client.hset("{acts}:acts:applied", "gone 1", f"{at_ms - 300_000} {said}")
    assert top(refusing)["missing"] == ["gone"]
    text = run("top", refusing).stdout
    assert "no answer from gone" in text
    with reading(refusing) as reader:
        assert "gone no answer" in reader.get("/").text


def test_a_server_that_is_away_leaves_what_this_host_knows(refusing: Path, server: Server) -> None:
    server.kill()
    try:
        found = top(refusing)
        assert [each["decided"] for each in found["hosts"]] == [1]
        assert "The server does not answer" in " ".join(run("top", refusing).stdout.split())
        with reading(refusing) as reader:
            assert "The server does not answer" in reader.get("/").text
    finally:
        server.start()  # for the tests behind
