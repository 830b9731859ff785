"""The doctor about a user without enough permissions: its findings, and that its advice is enough."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from ratelimit import Limiter, Policy
from ratelimit.stores.redis.doctor import trial
from tests.redis.examining import Examination
from tests.redis.test_permissions import CORRELATION
from tests.support.redis.cluster import Cluster
from tests.support.redis.live import LiveLimiter
from tests.support.redis.server import Server

SECRET = "hunter2"


@pytest.fixture(autouse=True)
def few_round_trips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "ROUND_TRIPS", 20)


@pytest.fixture
def user(server: Server) -> object:
    """Make a user that may connect and no more."""
    grant(server, "reset", "on", f">{SECRET}", "+ping", "+client|setname", "+time", "+info", "+config|get")
    yield "me"
    server.client.acl_deluser("me")


def grant(server: Server, *words: str) -> None:
    server.client.execute_command("ACL", "SETUSER", "me", *words)


LOGIN = (f'password = "{SECRET}"',)


@pytest.mark.usefixtures("user")
@pytest.mark.parametrize(
    ("rights", "missing"),
    [
        ([], {"script": "", "commands": "", "correlation": ""}),
        (["~*", "+@all", "-script|load"], {"script": "SCRIPT LOAD"}),
        (["~*", "+@all", "-eval", "-zadd", "-get"], {"script": "EVAL", "commands": "GET, ZADD"}),
        (["~*", "+@all", "-client|setname"], {"script": "CLIENT SETNAME"}),
        (["+@all"], {"commands": "keys `ratelimit:*`", "correlation": "keys `{ratelimit}:*`"}),
        (
            ["+@all", "~ratelimit:*", "-hset", "-xadd"],
            {"commands": "HSET", "correlation": "HSET, XADD nor use keys `{ratelimit}:*`"},
        ),
    ],
)
def test_all_that_is_missing_is_named_at_once(
    server: Server, tmp_path: Path, rights: list[str], missing: dict[str, str]
) -> None:
    grant(server, "reset", "on", f">{SECRET}", *rights)
    found = Examination(tmp_path, server.url.replace("://", "://me@"), *LOGIN, CORRELATION)
    assert found.code == 1
    assert missing.keys() <= found.statuses("fail")
    for check, says in missing.items():
        assert says in found[check]["says"]
        command = re.search(r"`ACL SETUSER me ([^`]*)`", found[check]["advice"])
        assert command is not None
        grant(server, *command[1].split())
    assert Examination(tmp_path, server.url.replace("://", "://me@"), *LOGIN, CORRELATION).code == 0


ALL_KINDS = """
[[limit]]
name = "window"
per = "ip"
rate = "100/minute"
algorithm = "sliding-window"
on_store_error = "closed"
[[limit]]
name = "log"
per = "ip"
rate = "100/minute"
algorithm = "sliding-log"
on_store_error = "closed"
[[limit]]
name = "slots"
per = "ip"
concurrent = 10
on_store_error = "closed"
[[limit]]
name = "networks"
per = []
rate = "100/day"
unit = "distinct:ip"
on_store_error = "closed"
"""


@pytest.mark.usefixtures("user")
@pytest.mark.parametrize("mode", ["exact", "leased"])
def test_what_the_doctor_allows_is_enough_to_decide(server: Server, tmp_path: Path, mode: str) -> None:
    grant(server, "+evalsha", "+eval", "+script|load", "~ratelimit:*")
    store = (*LOGIN, f'mode = "{mode}"', 'timeout = "5s"')
    advice = Examination(tmp_path, server.url.replace("://", "://me@"), *store)["commands"]["advice"]
    command = re.search(r"`ACL SETUSER me ([^`]*)`", advice)
    assert command is not None
    grant(server, *command[1].split())
    assert Examination(tmp_path, server.url.replace("://", "://me@"), *store, ALL_KINDS).code == 0
    server.client.execute_command("ACL", "LOG", "RESET")

    async def decide() -> bool:
        limiter = Limiter(Policy.load(tmp_path / "policy.toml"))
        try:
            return (await limiter.adecide(client="192.0.2.1")).allowed
        finally:
            limiter.close()

    assert asyncio.run(decide())
    # What the client library says of itself at login, if it may, is no part of deciding.
    refused = {entry["object"] for entry in server.client.acl_log()}
    assert refused <= {"client|setinfo"}


@pytest.mark.usefixtures("user")
def test_one_forbidden_command_is_named(server: Server, tmp_path: Path) -> None:
    grant(server, "~*", "+@all", "-zadd")
    found = Examination(tmp_path, server.url.replace("://", "://me@"), *LOGIN)
    assert found.code == 1
    assert found["commands"]["facts"] == {"refused": "ZADD"}
    assert "+zadd" in found["commands"]["advice"]


@pytest.mark.usefixtures("user")
def test_what_cannot_be_seen_is_said(server: Server, tmp_path: Path) -> None:
    grant(server, "~*", "+@all", "-info", "-config")
    found = Examination(tmp_path, server.url.replace("://", "://me@"), *LOGIN)
    assert found.code == 0
    hidden = {"version", "role", "replication", "memory", "persistence"}
    assert found.statuses("warn") == hidden
    for check in hidden:
        assert found[check]["says"] == "could not be seen: this user may not call INFO"
        assert found[check]["advice"]


MAY_NOT_LOAD = ("reset", "on", f">{SECRET}", "~*", "+@all", "-script|load")


async def is_told_what_is_refused(nodes: Sequence[Server], url: str, open_limiter: LiveLimiter) -> None:
    """Assert that a worker with a user that may not load scripts is told so, not that they are missing."""
    for node in nodes:
        grant(node, *MAY_NOT_LOAD)
    try:
        limiter = open_limiter(
            url.replace("://", "://me@"), 'per = "account"\nrate = "10/day"', password=SECRET
        )
        await limiter.ask()
        assert limiter.watcher.faults == ["redis-away"]
        said = str(limiter.batch_client.fault)
        assert "'script|load'" in said
        assert "ACL SETUSER" in said
        assert "ratelimit doctor" in said
        assert "NoScript" not in said
    finally:
        for node in nodes:
            node.client.acl_deluser("me")


async def test_worker_that_may_not_load_scripts_is_told_so(server: Server, open_limiter: LiveLimiter) -> None:
    await is_told_what_is_refused([server], server.url, open_limiter)


async def test_worker_that_may_not_load_scripts_into_a_cluster_is_told_so(
    cluster: Cluster, open_limiter: LiveLimiter
) -> None:
    await is_told_what_is_refused(cluster.nodes, cluster.cluster_url, open_limiter)


async def test_worker_that_may_not_load_scripts_any_more_is_told_so(
    server: Server, open_limiter: LiveLimiter
) -> None:
    grant(server, *MAY_NOT_LOAD, "+script|load")
    limiter = open_limiter(
        server.url.replace("://", "://me@"), 'per = "account"\nrate = "10/day"', password=SECRET
    )
    try:
        await limiter.look()
        await limiter.connected()
        grant(server, "-script|load")
        server.client.script_flush()
        await limiter.ask()
        assert limiter.watcher.faults == ["redis-away"]
        assert "'script|load'" in str(limiter.batch_client.fault)
    finally:
        server.client.acl_deluser("me")


async def test_worker_whose_scripts_may_not_do_all_is_told_what_to_do(
    server: Server, open_limiter: LiveLimiter
) -> None:
    grant(server, "reset", "on", f">{SECRET}", "~*", "+@all", "-set")
    limiter = open_limiter(
        server.url.replace("://", "://me@"), 'per = "account"\nrate = "10/day"', password=SECRET
    )
    try:
        await limiter.look()
        await limiter.connected()
        await limiter.ask()
        assert limiter.watcher.faults == ["redis-away"]
        said = str(limiter.batch_client.fault)
        assert "'set'" in said
        assert "ratelimit doctor" in said
    finally:
        server.client.acl_deluser("me")


async def test_worker_whose_login_is_refused_is_told_what_to_look_at(
    server: Server, open_limiter: LiveLimiter
) -> None:
    limiter = open_limiter(
        server.url.replace("://", "://me@"), 'per = "account"\nrate = "10/day"', password=SECRET
    )
    await limiter.ask()
    said = str(limiter.batch_client.fault)
    assert "refuses this user name or password" in said
    assert "ACL LIST" in said
    assert SECRET not in said
