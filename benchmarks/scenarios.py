"""Scenarios: keys, headers, requests and traces, all from fixed seeds."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

SEED = 20_260_701
SECOND_NS = 1_000_000_000
START_NS = 1_767_225_600 * SECOND_NS
"""When replayed traffic begins: 2026-01-01."""

HOT_KEY = "account-0000001"
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
ADDRESS = "203.0.113.77"
PATH = "/v1/models"

PLENTY = 1_000_000_000
"""More than any run takes."""
MOST_IN_A_WINDOW = 2_000_000
"""About the most that a sliding window of an hour can count."""

THREE_LIMITS = """\
version = 1

[identities]
account = { from = "header:x-api-key" }
ip      = { from = "client" }
network = { from = "client/24/48" }

[[limit]]
name = "requests"
per  = "account"
rate = "%(account)d/hour"

[[limit]]
name = "address"
per  = "ip"
rate = "%(ip)d/hour"
algorithm = "sliding-window"

[[limit]]
name = "network"
per  = "network"
rate = "%(network)d/hour"
algorithm = "fixed-window"
"""


def three_limits(account: int, ip: int | None = None, network: int | None = None) -> str:
    """Return a policy of three limits over three identities; without more, the first one binds."""
    return THREE_LIMITS % {
        "account": account,
        "ip": min(10 * account, MOST_IN_A_WINDOW) if ip is None else ip,
        "network": 100 * account if network is None else network,
    }


def keys(count: int) -> list[str]:
    """Return distinct keys, as an API has them."""
    return [f"account-{number:07d}" for number in range(count)]


def at_random(chosen_from: Sequence[str], count: int) -> list[str]:
    """Return keys in an order in which no memory is near the last."""
    return random.Random(SEED).choices(chosen_from, k=count)


def addresses(count: int) -> list[str]:
    """Return distinct addresses from the benchmarking range, then from elsewhere."""
    return [f"198.{18 + (n >> 16 & 1)}.{n >> 8 & 255}.{n & 255}" for n in range(count)]


Headers = list[tuple[bytes, bytes]]


def few_headers(account: str = HOT_KEY) -> Headers:
    """Return what wrk sends, and an API key."""
    return [(b"host", b"127.0.0.1:8000"), (b"x-api-key", account.encode())]


def many_headers(account: str = HOT_KEY) -> Headers:
    """Return what a browser sends, and an API key."""
    return [
        (b"host", b"api.example.com"),
        (b"user-agent", AGENT.encode()),
        (b"accept", b"application/json, text/plain, */*"),
        (b"accept-language", b"en-GB,en;q=0.7,de;q=0.3"),
        (b"accept-encoding", b"gzip, deflate, br, zstd"),
        (b"referer", b"https://app.example.com/chat"),
        (b"x-api-key", account.encode()),
        (b"connection", b"keep-alive"),
        (b"sec-fetch-dest", b"empty"),
        (b"sec-fetch-mode", b"cors"),
        (b"sec-fetch-site", b"same-site"),
        (b"priority", b"u=4"),
    ]


def write_trace(path: Path, lines: int) -> int:
    """Write NDJSON of `lines` requests in an hour by 20,000 accounts, some eager; return its size."""
    chance = random.Random(SEED)
    step_ns = 3600 * SECOND_NS // lines
    paths = ("/v1/chat", "/v1/embeddings", "/v1/models")
    with path.open("w") as file:
        for number in range(lines):
            # A few accounts make much of the traffic, as everywhere: the first some 2 % of it.
            account = int(20_000 * chance.random() ** 2.5)
            place = (account * 2 + (chance.random() < 0.1)) * 7919 % 65_536  # at home, or not
            request = {
                "time": (START_NS + number * step_ns) / SECOND_NS,
                "method": "POST",
                "path": paths[number % 3],
                "ip": f"198.18.{place >> 8}.{place & 255}",
                "user_agent": AGENT,
                "account": f"account-{account:07d}",
                "output_tokens": chance.randrange(40, 900),
            }
            file.write(json.dumps(request) + "\n")
    return path.stat().st_size


def requests(path: Path) -> Iterator[dict[str, str]]:
    """Yield the requests of a trace."""
    with path.open() as file:
        for line in file:
            yield json.loads(line)
