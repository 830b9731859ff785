"""All hosts that share a server at one moment: for `ratelimit top` and the console."""

from __future__ import annotations

import asyncio
import json
import re
import socket
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


def top(path: Path, code: int = 0) -> dict[str, Any]:
    result = run("top", path, "--json")
    assert result.exit_code == code, result.output
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
    assert top(refusing, code=4)["missing"] == ["gone"]
    text = run("top", refusing).stdout
    assert "no answer from gone" in text
    with reading(refusing) as reader:
        assert "gone no answer" in reader.get("/").text


def test_a_server_that_is_away_leaves_what_this_host_knows(refusing: Path, server: Server) -> None:
    server.kill()
    try:
        found = top(refusing, code=4)
        assert [each["decided"] for each in found["hosts"]] == [1]
        assert "The server does not answer" in " ".join(run("top", refusing).stdout.split())
        with reading(refusing) as reader:
            assert "The server does not answer" in reader.get("/").text
    finally:
        server.start()  # for the tests behind


def test_a_container_of_another_name_counts_no_refusal_twice(
    refusing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hazard: containers share a host's memory, and a command in one takes the others' workers for a host."""
    (some,) = {each["refused"] for each in top(refusing)["callers"]}
    monkeypatch.setattr(socket, "gethostname", lambda: "container-2")
    for name in ("a", "b"):
        result = run("show", "refused", refusing.with_name(f"{name}.toml"), "--json")
        assert result.exit_code == 0, result.output
        assert [each["refused"] for each in json.loads(result.stdout)["refused"]] == [some], name


def previews(path: Path, *, console: bool) -> list[str]:
    """Return what previews say was refused of c-5: of an exemption, a stop, and another number."""
    if not console:
        return [
            " ".join(run("act", *command, path, "c-5", *more, "--dry-run").output.split())
            for command, more in ((["exempt"], ["--from", "limits"]), (["stop"], []))
        ]
    with reading(path) as reader:
        person = reader.find("c-5")
        budget = next(each for each in person.forms if "numbers" in dict(each.fields))
        return [
            reader.send(person.form("Exempt from all limits")).text,
            reader.send(person.form("Stop")).text,
            reader.send(budget, numbers="requests=50").text,
        ]


@pytest.mark.parametrize("console", [False, True])
def test_previews_count_what_all_hosts_refused(refusing: Path, server: Server, console: bool) -> None:
    """Hazard: an act is weighed by what one of two hosts refused, here nothing at all."""
    (some,) = {each["refused"] for each in top(refusing)["callers"]}
    times = "1 time" if some == 1 else f"{some} times"
    name = socket.gethostname()
    for said in previews(refusing, console=console):
        assert f"{times} within the last hour, " in said or (
            f"refused {times} by it within the last hour, " in said
        ), said
        assert f" in the last minute, on {name}" in said, said
        assert "no answer" not in said
    at_ms = time.time_ns() // 1_000_000
    told = '{"host": "gone", "digest": "", "workers": 2}'
    server.client.hset("{acts}:acts:applied", "gone 1", f"{at_ms - 300_000} {told}")
    for said in previews(refusing, console=console):
        assert f" in the last minute, on {name}; no answer from gone" in said, said


def test_every_page_says_an_outage_in_one_sentence(refusing: Path, server: Server) -> None:
    server.kill()
    try:
        with reading(refusing) as reader:
            for path in ("/", "/changes", "/audit"):
                said = reader.get(path).text
                assert "The server does not answer" in said
                assert f"this host, {socket.gethostname()}," in said, path
    finally:
        server.start()  # for the tests behind
