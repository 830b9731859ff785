"""`ratelimit who` over hosts that share a server: each host's refusals, and the hosts that do not answer."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from ratelimit.inspection.hosts import moment as hosts_asked
from ratelimit.limiter import Limiter
from tests.cli.running import run
from tests.redis.test_acts import hosts as hosts
from tests.redis.test_acts import wait_for_hosts
from tests.support.redis.server import Server
from tests.support.stopwatch import Stopwatch


@pytest.fixture
async def refusing(hosts: list[Limiter], tmp_path: Path) -> Path:
    """Return the policy of host a; host b refused c-5 three times."""
    await asyncio.to_thread(wait_for_hosts, tmp_path / "a.toml", 2)
    for _ in range(5):
        await hosts[1].adecide(identities={"account": "c-5"})
    await hosts[1].store.aclose_connections()
    return tmp_path / "a.toml"


def who(path: Path, *names: str, code: int = 0) -> dict[str, Any]:
    result = run("who", path, *names, "--json")
    assert result.exit_code == code, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_a_refusal_on_another_host_is_told_at_once(refusing: Path, tmp_path: Path) -> None:
    with Stopwatch() as watch:
        found = who(refusing, "c-5")
    assert watch.s < hosts_asked.PATIENCE_S  # not as long as it would wait; `night/test_times.py` measures
    assert len(found["hosts"]["answered"]) == 2
    assert found["hosts"]["missing"] == []
    assert [(each["limit"], each["per"]) for each in found["refused"]] == [("requests", "account")]
    assert found["refused"][0]["refused"] >= 1
    (left,) = found["limits"]
    assert (left["remaining"], left["refuses"]) == (0, True)


@pytest.mark.usefixtures("brief_commands")
def test_a_host_that_does_not_answer_is_named(refusing: Path, server: Server) -> None:
    at_ms = time.time_ns() // 1_000_000
    said = '{"host": "stuck", "digest": "", "workers": 2}'
    server.client.hset("{acts}:acts:applied", "stuck 1", f"{at_ms} {said}")
    server.client.hset("{acts}:acts:applied", "gone 1", f"{at_ms - 300_000} {said.replace('stuck', 'gone')}")
    found = who(refusing, "c-5", code=4)
    assert found["hosts"]["missing"] == ["gone", "stuck"]
    assert "no answer from gone; stuck" in run("who", refusing, "c-5").stderr
    assert [each["limit"] for each in found["refused"]] == ["requests"]


@pytest.mark.usefixtures("brief_commands")
def test_a_server_that_is_away_is_said(refusing: Path, server: Server) -> None:
    server.kill()
    try:
        found = who(refusing, "c-5", code=4)
        assert found["limits"] == []
        assert found["hosts"]["missing"]
    finally:
        server.start()


def test_an_inquiry_has_no_value_and_is_forgotten(refusing: Path, server: Server) -> None:
    who(refusing, "c-5")
    for name in server.client.keys("{acts}:inquiries*"):
        assert "c-5" not in str(server.client.hgetall(name))
        assert 0 < server.client.pttl(name) <= 10_000
