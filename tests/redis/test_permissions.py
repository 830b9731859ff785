"""A user who may do what docs/deployment.md says, and nothing else, is enough for all kinds of limits."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ratelimit import Limiter, Policy
from ratelimit.stores.redis.store import RedisStore
from tests.support.redis.server import Server

DEPLOYMENT = (Path(__file__).parents[2] / "docs" / "deployment.md").read_text("utf-8")
SECRET = "a-secret-of-tests"

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
username = "ratelimit"
password = "env:RATELIMIT_TEST_PASSWORD"
timeout = "1s"
"""
LIMITS = (
    'rate = "5/hour"',
    'rate = "5/hour"\nalgorithm = "fixed-window"',
    'rate = "5/hour"\nalgorithm = "sliding-window"',
    'rate = "5/hour"\nalgorithm = "sliding-log"',
    "concurrent = 5",
    'distinct = "ip"\nrate = "5/day"',
)


def grant(prefix: str) -> list[str]:
    """Return the words of the user's rights, as the document has them."""
    (words,) = re.findall(r"^ACL SETUSER ratelimit (.*)$", DEPLOYMENT, re.M)
    return words.replace(">PASSWORD", f">{SECRET}").replace("ratelimit", prefix).split()


async def test_user_who_may_not_ask_for_info_decides_all_the_same(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RATELIMIT_TEST_PASSWORD", SECRET)
    server.client.execute_command("ACL", "SETUSER", "ratelimit", *grant("ratelimit"), "-info")
    text = POLICY.format(url=server.url, mode="exact", prefix="ratelimit")
    limiter = Limiter(Policy.from_toml(f'{text}\n[[limit]]\nname = "one"\nper = "account"\n{LIMITS[0]}\n'))
    try:
        admitted = [(await limiter.adecide(identities={"account": "a"})).allowed for _ in range(8)]
        assert sum(admitted) == 5
        assert server.client.keys("ratelimit:*")
    finally:
        await limiter.rest()
        limiter.close()
        server.client.execute_command("ACL", "DELUSER", "ratelimit")


@pytest.mark.parametrize("prefix", ["ratelimit", "shop:limits"])
@pytest.mark.parametrize("mode", ["exact", "leased"])
async def test_documented_user_is_enough(
    server: Server, monkeypatch: pytest.MonkeyPatch, mode: str, prefix: str
) -> None:
    monkeypatch.setenv("RATELIMIT_TEST_PASSWORD", SECRET)
    server.client.execute_command("ACL", "SETUSER", "ratelimit", *grant(prefix))
    server.client.acl_log_reset()
    text = POLICY.format(url=server.url, mode=mode, prefix=prefix) + "".join(
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
        assert not store.courier().breaker.is_open
        assert server.client.keys(f"{prefix}:*")
        await store.pulse.beat(store.courier())
    finally:
        await limiter.rest()
        limiter.close()
        server.client.execute_command("ACL", "DELUSER", "ratelimit")
    assert server.client.acl_log() == []
