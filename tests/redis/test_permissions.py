"""A user that may do what docs/redis.md says, and nothing else, is enough for all kinds of limits."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ratelimit import Limiter, Policy
from ratelimit.stores.redis.doctor.permission import (
    ACTING,
    CORRELATING,
    DECIDING,
    JOURNALLING,
    RECORDING,
    STRIKING,
)
from ratelimit.stores.redis.store import RedisStore
from tests.redis.examining import Examination
from tests.support.redis.permission import PAGE, SECRET, documented
from tests.support.redis.server import Server

POLICY = """
version = 1

[identities]
account = {{ from = "header:x-api-key" }}
ip = {{ from = "client" }}

[hashing]
key = "00112233445566778899aabbccddeeff"

[store]
url = "{url}"
mode = "{mode}"
prefix = "{prefix}"
memory = "private"
password = "env:RATELIMIT_TEST_PASSWORD"
timeout = "5s"
"""
CORRELATION = """
[identities]
account = { from = "header:x-api-key", missing = "skip" }
network = { from = "client" }
client = { from = "header:user-agent", missing = "skip" }
[correlation]
principal = "account"
network = "network"
client = "client"
"""
LIMITS = (
    'rate = "5/hour"',
    'rate = "5/year"\nalgorithm = "fixed-window"',
    'rate = "5/hour"\nalgorithm = "sliding-window"',
    'rate = "5/hour"\nalgorithm = "sliding-log"',
    "concurrent = 5",
    'unit = "distinct:ip"\nrate = "5/day"',
)


async def test_user_who_may_not_ask_for_info_decides_all_the_same(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RATELIMIT_TEST_PASSWORD", SECRET)
    server.client.execute_command("ACL", "SETUSER", "ratelimit", *documented("ratelimit"), "-info")
    text = POLICY.format(url=server.url.replace("://", "://ratelimit@"), mode="exact", prefix="ratelimit")
    limiter = Limiter(Policy.from_toml(f'{text}\n[[limit]]\nname = "one"\nper = "account"\n{LIMITS[0]}\n'))
    try:
        admitted = [(await limiter.adecide(identities={"account": "a"})).allowed for _ in range(8)]
        assert sum(admitted) == 5
        assert server.client.keys("ratelimit:*")
    finally:
        await limiter.aclose_connections()
        limiter.close()
        server.client.execute_command("ACL", "DELUSER", "ratelimit")


@pytest.mark.parametrize("prefix", ["ratelimit", "shop:limits"])
@pytest.mark.parametrize("mode", ["exact", "leased"])
async def test_documented_user_is_enough(
    server: Server, monkeypatch: pytest.MonkeyPatch, mode: str, prefix: str
) -> None:
    monkeypatch.setenv("RATELIMIT_TEST_PASSWORD", SECRET)
    server.client.execute_command("ACL", "SETUSER", "ratelimit", *documented(prefix))
    server.client.acl_log_reset()
    text = POLICY.format(url=server.url.replace("://", "://ratelimit@"), mode=mode, prefix=prefix) + "".join(
        f'\n[[limit]]\nname = "limit {number}"\nper = "account"\n{limit}\n'
        for number, limit in enumerate(LIMITS)
    )
    limiter = Limiter(Policy.from_toml(text))
    store = limiter.store
    assert isinstance(store, RedisStore)
    try:
        decisions = [
            await limiter.adecide(identities={"account": "a"}, client=f"192.0.2.{number}")
            for number in range(8)
        ]
        for decision in decisions[:2]:
            decision.settle(requests=0)
        assert [decision.allowed for decision in decisions] == [True] * 5 + [False] * 3
        assert not store.batch_client().breaker.is_open
        assert server.client.keys(f"{prefix}:*")
        await store.fair_share.beat(store.batch_client())
    finally:
        await limiter.aclose_connections()
        limiter.close()
        server.client.execute_command("ACL", "DELUSER", "ratelimit")
    assert server.client.acl_log() == []


@pytest.mark.parametrize("prefix", ["ratelimit", "shop:limits"])
def test_documented_user_is_enough_for_the_doctor(server: Server, tmp_path: Path, prefix: str) -> None:
    server.client.execute_command("ACL", "SETUSER", "ratelimit", *documented(prefix))
    server.client.acl_log_reset()
    login = (f'password = "{SECRET}"', f'prefix = "{prefix}"')
    try:
        found = Examination(tmp_path, server.url.replace("://", "://ratelimit@"), *login, CORRELATION)
        assert found.code == 0
        assert [found[check]["status"] for check in ("commands", "acts", "correlation")] == ["ok"] * 3
        assert server.client.acl_log() == []
        # What hosts share lies under names of its own: a user that may not use them is told.
        server.client.execute_command("ACL", "SETUSER", "ratelimit", "resetkeys", f"~{prefix}:*")
        found = Examination(tmp_path, server.url.replace("://", "://ratelimit@"), *login, CORRELATION)
        assert (found.code, found["commands"]["status"], found["correlation"]["status"]) == (1, "ok", "fail")
        assert f"~{{{prefix}}}:*" in found["correlation"]["advice"]
        found = Examination(tmp_path, server.url.replace("://", "://ratelimit@"), *login)
        assert (found.code, found["acts"]["status"]) == (0, "warn")  # nothing is correlated there
        assert found["acts"]["says"].startswith(
            "acts, strikes, records and the journal do not reach all hosts: this user may not"
        )
        assert f"~{{{prefix}}}:*" in found["acts"]["advice"]
    finally:
        server.client.execute_command("ACL", "DELUSER", "ratelimit")


def test_documented_commands_are_those_that_are_tried() -> None:
    (line,) = re.findall(r"^The commands are (.*)$", PAGE, re.M)
    said = set(re.findall(r"`([A-Z]+)`", line))
    tried = {words[0] for words in (*DECIDING, *CORRELATING, *ACTING, *STRIKING, *RECORDING, *JOURNALLING)}
    assert said == tried | {"EVALSHA", "EVAL", "AUTH"}
