"""Limiters over a Redis: this library, a bare client, and other limiters as their users call them.

Each is made in its own process and event loop, and decides for the n-th request of a fixed
traffic: accounts and addresses in turn, one client. One rule: by account. Three: by account,
address and client; what cannot charge three at once is asked three times, at the same time
where its interface allows.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from functools import cache
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from time import time
from types import ModuleType
from typing import Any

from redis.asyncio import Redis

from benchmarks.apps import import_peer
from benchmarks.scenarios import AGENT, MOST_IN_A_WINDOW, PLENTY, addresses, keys, three_limits
from ratelimit import Limiter, Policy

ACCOUNTS = 1000
HASH_KEY = "KINLIMIT_BENCHMARK_HASH_KEY"
PATIENT = "500ms"
"""For questions of speed: a busy machine is not to look like a server that is away."""
BARE = "bare client, one GCRA script"
CPEX_MOST = 1_000_000
"""It takes no rate of more units than these."""

Decide = Callable[[int], Awaitable[bool]]
"""Decides request n of the traffic; returns whether it is admitted."""

ACCOUNT = """\
version = 1

[identities]
account = { from = "header:x-api-key" }
network = { from = "client/24/48" }
"""

ONE_LIMIT = """
[[limit]]
name = "requests"
per  = "account"
rate = "%d/hour"
"""

STORE = """
[hashing]
key = "env:%s"

[store]
url    = "%s"
mode   = "%s"
memory = "private"
prefix = "%s"
timeout = "%s"
"""

# One limit of one key by the generic cell rate algorithm, as one would write it: times in seconds.
GCRA = """\
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local interval, depth, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local arrival = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
local next_arrival = arrival + interval * cost
local room = now + depth - next_arrival
if room < 0 then
  return {0, 0, tostring(-room)}
end
redis.call('SET', KEYS[1], string.format('%.6f', next_arrival), 'PX', math.ceil((next_arrival - now) * 1000))
return {1, math.floor(room / interval), '0'}
"""


def traffic() -> tuple[list[str], list[str]]:
    """Return accounts and addresses of the same number."""
    return keys(ACCOUNTS), addresses(ACCOUNTS)


def policy_text(url: str, mode: str, limits: int, quota: int = PLENTY, timeout: str = PATIENT) -> str:
    """Return a policy with one or three limits in a Redis; each number of limits counts by itself."""
    text = (
        ACCOUNT + ONE_LIMIT % quota
        if limits == 1
        else three_limits(quota, min(10 * quota, MOST_IN_A_WINDOW), quota)
    )
    return text + store_text(url, mode, f"bench{limits}", timeout)


def store_text(url: str, mode: str = "exact", prefix: str = "ratelimit", timeout: str = PATIENT) -> str:
    """Return what a policy says of its store and its hash key."""
    os.environ.setdefault(HASH_KEY, "00112233445566778899aabbccddeeff")
    return STORE % (HASH_KEY, url, mode, prefix, timeout)


def ours(url: str, mode: str, limits: int, quota: int = PLENTY) -> Decide:
    """Return this library's decisions, by names, as an application without a middleware asks for them."""
    limiter = Limiter(Policy.from_toml(policy_text(url, mode, limits, quota)))
    accounts, ips = traffic()

    async def decide(number: int) -> bool:
        number %= ACCOUNTS
        decision = await limiter.adecide(
            path="/v1/models", identities={"account": accounts[number]}, client=ips[number]
        )
        return decision.allowed

    return decide


async def bare(url: str, limits: int, quota: int) -> Decide:
    """redis-py's client and one script of one limit: the least that any limiter over it does."""
    client = Redis.from_url(url, max_connections=64)
    digest = await client.script_load(GCRA)
    accounts, _ = traffic()
    interval, depth = 3600 / quota, 3600.0

    async def decide(number: int) -> bool:
        said = await client.evalsha(digest, 1, "bare:" + accounts[number % ACCOUNTS], interval, depth, 1)
        return bool(said[0])

    return decide


def _limits(strategy: str) -> Callable[[str, int, int], Awaitable[Decide]]:
    async def make(url: str, limits: int, quota: int) -> Decide:
        aio = import_module("limits.aio")
        storage = aio.storage.RedisStorage(f"async+{url}", implementation="redispy")
        hit = getattr(aio.strategies, strategy)(storage).hit
        item = import_module("limits").RateLimitItemPerHour(quota)
        wide = import_module("limits").RateLimitItemPerHour(PLENTY)
        accounts, ips = traffic()

        async def one(number: int) -> bool:
            return bool(await hit(item, accounts[number % ACCOUNTS]))

        async def three(number: int) -> bool:
            number %= ACCOUNTS
            return bool(
                await hit(item, accounts[number])
                and await hit(wide, "ip", ips[number])
                and await hit(wide, "client", AGENT)
            )

        return one if limits == 1 else three

    return make


def import_fastapi_limiter() -> tuple[ModuleType, ModuleType]:
    """Return fastapi-limiter 0.1 with its dependencies: the last that counts in Redis by itself."""
    folder = str(Path(sys.prefix) / "peers" / "fastapi-limiter")
    sys.path.insert(0, folder)
    try:
        package = import_module("fastapi_limiter")
        if not hasattr(package, "FastAPILimiter"):
            raise ImportError("fastapi-limiter 0.1 is not there: make bench-install")
        return package, import_module("fastapi_limiter.depends")
    finally:
        sys.path.remove(folder)


async def fastapi_limiter(url: str, limits: int, quota: int) -> Decide:
    """fastapi-limiter's dependency, at its check: one script call a rule."""
    package, depends = import_fastapi_limiter()
    await package.FastAPILimiter.init(Redis.from_url(url, encoding="utf-8", max_connections=64))
    check, wide = (
        depends.RateLimiter(times=quota, hours=1)._check,
        depends.RateLimiter(times=PLENTY, hours=1)._check,
    )
    accounts, ips = traffic()

    async def one(number: int) -> bool:
        return bool(await check("fl:" + accounts[number % ACCOUNTS]) == 0)

    async def three(number: int) -> bool:
        number %= ACCOUNTS
        return bool(
            await check("fl:" + accounts[number]) == 0
            and await wide("fl:ip:" + ips[number]) == 0
            and await wide("fl:client:" + AGENT) == 0
        )

    return one if limits == 1 else three


async def asgi_ratelimit(url: str, limits: int, quota: int) -> Decide:
    """asgi-ratelimit's backend: one script over up to six windows of one user."""
    package, backends = import_peer("asgi_ratelimit_peer", "ratelimit", ".backends.redis")
    backend = backends.RedisBackend(Redis.from_url(url, max_connections=64))
    rule = package.Rule(hour=quota) if limits == 1 else package.Rule(hour=quota, day=PLENTY, month=PLENTY)
    accounts, _ = traffic()

    async def decide(number: int) -> bool:
        return bool(await backend.retry_after("/v1", accounts[number % ACCOUNTS], rule) == 0)

    return decide


async def cpex(url: str, limits: int, quota: int) -> Decide:
    """cpex-rate-limiter: a compiled engine with a client of its own, in Rust."""
    module = _cpex_engine()
    config: dict[str, Any] = {"backend": "redis", "redis_url": url, "by_user": _cpex_rate(quota)}
    if limits == 3:
        config |= {"by_tenant": _cpex_rate(PLENTY), "by_tool": {"chat": _cpex_rate(PLENTY)}}
    check = module.RateLimiterEngine(config).check_async
    accounts, ips = traffic()

    async def decide(number: int) -> bool:
        number %= ACCOUNTS
        tenant = ips[number] if limits == 3 else None
        allowed, _headers, _meta = await check(accounts[number], tenant, "chat", int(time()), True, None)
        return bool(allowed)

    return decide


def _cpex_rate(quota: int) -> str:
    return f"{quota}/h" if quota <= CPEX_MOST else f"{CPEX_MOST}/s"


@cache
def _cpex_engine() -> ModuleType:
    """Import the engine alone: its package would need a gateway's framework.

    Raises:
        ImportError: it is not there.
    """
    path = Path(sys.prefix) / "peers" / "cpex_rate_limiter" / "rate_limiter_rust.abi3.so"
    spec = spec_from_file_location("rate_limiter_rust", path)
    if not path.exists() or spec is None or spec.loader is None:
        raise ImportError(f"no {path}; pip install --no-deps --target {path.parents[1]} cpex-rate-limiter")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PEERS: dict[str, Callable[[str, int, int], Awaitable[Decide]]] = {
    "limits, fixed window": _limits("FixedWindowRateLimiter"),
    "limits, sliding window": _limits("SlidingWindowCounterRateLimiter"),
    "fastapi-limiter": fastapi_limiter,
    "asgi-ratelimit": asgi_ratelimit,
    "cpex-rate-limiter (Rust)": cpex,
}
COMPILED = ("cpex-rate-limiter (Rust)",)


async def make(name: str, url: str, limits: int, quota: int = PLENTY) -> Decide:
    """Return a contender's decisions: `exact` and `leased` are this library's modes.

    Raises:
        ImportError: it is not installed.
    """
    if name == BARE:
        return await bare(url, limits, quota)
    if name in PEERS:
        return await PEERS[name](url, limits, quota)
    return ours(url, name, limits, quota)
