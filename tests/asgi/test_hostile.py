"""Requests made to confuse: odd identities, injected lines and labels, floods chosen for one hash key."""

from __future__ import annotations

import logging
from collections import Counter

import pytest

from ratelimit import Policy
from ratelimit.core.memory.hashing import Hasher
from ratelimit.telemetry.exposition import Exposition
from tests.asgi.driver import Mounted, Pairs, limit, mount, rules

TWO = rules(limit(rate="2/hour"))
SAME_CLIENT: Pairs = []


def called(*values: bytes) -> Pairs:
    return [(b"x-api-key", value) for value in values]


@pytest.mark.parametrize(
    ("odd", "alike", "others"),
    [
        (called(b""), [SAME_CLIENT], [called(b"a")]),
        (called(b"x" * 4097), [SAME_CLIENT, called(b"x" * 5000)], [called(b"x" * 4096), called(b"x")]),
        (called(b"a", b"b"), [SAME_CLIENT, called(b"a", b"a")], [called(b"a"), called(b"b")]),
        (called(b"\xff\xfe"), [SAME_CLIENT, called(b"\xff\xfd"), called("ÿþ".encode())], [called(b"??")]),
        (called(b"a\x00b"), [SAME_CLIENT, called(b"a\x00c")], [called(b"a"), called(b"b"), called(b"a b")]),
    ],
    ids=["empty", "oversized", "duplicate", "non-utf8", "zero byte"],
)
async def test_odd_identity_is_somebody_and_nobody_else(
    odd: Pairs, alike: list[Pairs], others: list[Pairs]
) -> None:
    client = mount(TWO).client
    assert await client.statuses(3, headers=odd) == [200, 200, 429]
    for headers in alike:
        assert await client.statuses(1, headers=headers) == [429]
    for headers in others:
        assert await client.statuses(3, headers=headers) == [200, 200, 429]


HOSTILE = [
    b'x"} 1\nforged_total{a="b"} 9',
    b"\r\nERROR forged line",
    b"\x1b[31mforged\x1b[0m",
    b"%s%n{0.__class__} forged",
    "forged \u2028 \u202e".encode(),
]


async def test_log_and_label_injection_by_whatever_a_request_carries(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "ratelimit")
    identities = (
        'account = { from = "header:x-api-key" }\n'
        'agent = { from = "cookie:sid", missing = "skip" }\n'
        'tenant = { from = "path:tenant" }'
    )
    mounted = mount(
        rules(
            limit(match="/t/{tenant}/*", per="tenant", rate="2/hour"),
            limit("agents", per="agent", rate="1000/hour", mode="shadow"),
            identities=identities,
        )
    )
    series = len(exported(mounted))
    for value in HOSTILE:
        headers = [
            (b"x-api-key", value),
            (b"cookie", b"sid=" + value),
            (b"x-forwarded-for", value),
            (b"forwarded", b'for="' + value + b'"'),
            (b"origin", value),
            (b"user-agent", value),
        ]
        path = f"/t/{value.decode()}/x"
        answers = [await mounted.client(value.decode(), path, headers) for _ in range(4)]
        assert [answer.status for answer in answers] == [200, 200, 429, 429]
        told = [*answers[3].messages[0]["headers"], (b"", answers[3].body)]
        assert not any(b"forged" in text.lower() for pair in told for text in pair)
    lines = exported(mounted)
    assert len(lines) == series
    refusals = 'ratelimit_decisions_total{action="refuse",limit="requests",mode="enforce"}'
    assert float(lines[refusals]) == 2 * len(HOSTILE)
    assert "forged" not in "".join(lines)
    assert "forged" not in caplog.text
    assert caplog.messages  # something was said: the header of an undeclared proxy


def exported(mounted: Mounted) -> dict[str, str]:
    text = Exposition(mounted.middleware.limiter, None).render("")[0].decode()
    return dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))


async def test_hash_flooding_by_keys_that_meet_under_a_known_key_frees_nobody() -> None:
    # Made to meet in one place under a key the attacker knows; ours is another.
    known = Hasher(b"sixteen known by")
    chosen = [value for value in (b"%d" % n for n in range(200_000)) if known.identity(1, value) % 1024 == 0]
    assert len(chosen) > 150
    toml = rules(limit(rate="2/hour"), more='[store]\nmemory = "private"\nkeys = 400')
    mounted = mount("", policy=Policy.from_toml(toml))
    assert await mounted.client.statuses(3, headers=called(b"heavy")) == [200, 200, 429]
    seen: Counter[int] = Counter()
    for value in chosen:
        seen.update(await mounted.client.statuses(3, headers=called(value)))
    assert seen == {200: 2 * len(chosen), 429: len(chosen)}
    assert await mounted.client.statuses(2, headers=called(b"heavy")) == [429, 429]
    assert mounted.middleware.limiter.table.stats(mounted.clock.now_ns())["evictions"] == 0


async def test_flood_of_unique_keys_frees_nobody_who_is_refused() -> None:
    """Hazard: an attacker fills the memory with accounts that it invents until its own count is forgotten."""
    toml = rules(limit(rate="2/hour"), more='[store]\nmemory = "private"\nkeys = 200')
    mounted = mount("", policy=Policy.from_toml(toml))
    client, table = mounted.client, mounted.middleware.limiter.table
    assert await client.statuses(3, headers=called(b"heavy")) == [200, 200, 429]
    room = table.stats(mounted.clock.now_ns())["capacity"]
    for number in range(5 * room):
        assert await client.statuses(1, headers=called(b"%d" % number)) == [200]
    assert await client.statuses(2, headers=called(b"heavy")) == [429, 429]
    stats = table.stats(mounted.clock.now_ns())
    assert stats["used"] <= stats["capacity"] == room
    assert stats["evictions"] > 0
