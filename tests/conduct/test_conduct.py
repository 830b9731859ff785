"""Limits that fall with bad conduct: what strikes, what it does to limits, and how it is over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil
from mmap import mmap
from pathlib import Path

import pytest

from ratelimit import Limiter, Policy, RateLimitMiddleware
from ratelimit.clock import ManualClock
from ratelimit.conduct.conduct import Conduct
from ratelimit.conduct.model.strikes import Strike
from ratelimit.conduct.stage import conduct_of, factor_of
from ratelimit.core.sharing.conduct import ConductMemory, conduct_bytes
from ratelimit.deciding.bound_policy import BoundPolicy

SECOND = 10**9
MINUTE, HOUR = 60, 3600
POLICY = """
version = 1
[store]
memory = "private"
[identities]
account = { from = "state:account" }
[[limit]]
name = "requests"
match = "/v1/*"
per = "account"
rate = "6/minute"
burst = 16
adaptive = true
[[limit]]
name = "daily"
match = "/v1/*"
per = "account"
rate = "100000/day"
algorithm = "sliding-window"
"""


class Account:
    """A client of one account, in virtual time."""

    def __init__(self, policy: str = POLICY) -> None:
        self.clock = ManualClock(1_700_000_000 * SECOND)
        self.limiter = Limiter(Policy.from_toml(policy), clock=self.clock)

    def call(self, account: str = "a") -> bool:
        return self.limiter.decide(path="/v1/chat", identities={"account": account}).allowed

    def hammer(self, seconds: float, a_second: int = 20, account: str = "a") -> None:
        """Call on through refusals."""
        for _ in range(int(seconds * a_second)):
            self.call(account)
            self.clock.advance(1 / a_second)

    @property
    def conduct(self) -> Conduct:
        found = conduct_of(self.limiter.current)
        assert found is not None
        return found

    def factor(self, account: str = "a") -> float:
        return factor_at(self.limiter, account)

    def burst(self, account: str = "a") -> tuple[int, int]:
        """Return how many calls at once are allowed after a pause, and how many the factor lets expect."""
        self.clock.advance(200)
        expected = ceil(self.factor(account) * 16)
        return sum(self.call(account) for _ in range(20)), expected


def factor_at(limiter: Limiter, account: str) -> float:
    """Return what is left of the limits of an account, at the worst of them."""
    bound = limiter.current
    row = [-1] * len(bound.extractor.anonymous)
    row[bound.extractor.positions["account"]] = bound.extractor.value_hash("account", account)
    return factor_of(bound, row, limiter.now_ns())


@pytest.fixture
def client() -> Iterator[Account]:
    made = Account()
    yield made
    made.limiter.close()


def test_account_that_calls_through_refusals_loses_half_and_gets_it_back_within_the_hour(client: Account):
    assert client.burst() == (16, 16)
    client.hammer(60)
    assert client.factor() < 0.6
    assert client.factor("b") == 1.0
    allowed, expected = client.burst()
    assert allowed == expected <= 11
    client.clock.advance(HOUR)
    assert client.factor() > 0.95
    assert client.burst()[0] == 16


def test_floor_is_a_tenth_and_something_is_always_allowed(client: Account):
    client.hammer(30 * MINUTE, a_second=10)
    assert client.factor() == pytest.approx(0.1, abs=0.05)
    assert 1 <= client.burst()[0] <= 4


def test_only_limits_that_say_so_fall(client: Account):
    client.hammer(60)
    decision = client.limiter.decide(path="/v1/chat", identities={"account": "a"})
    quotas = {verdict.limit: verdict.quota for verdict in decision.verdicts}
    assert quotas["daily"] == 100_000
    assert quotas["requests"] < 6


@pytest.mark.parametrize("waits_s", [4.0, 10.0, 30.0])
def test_client_that_waits_as_it_is_told_is_never_struck(client: Account, waits_s: float):
    """Hazard: ordinary retries of well-kept clients."""
    for _ in range(600):
        if not client.call():
            client.clock.advance(waits_s)
    assert client.factor() == 1.0


def test_many_requests_at_once_that_back_off_are_no_strike(client: Account):
    """A herd of a hundred, each tries four times, half a second and twice as long each time."""
    for attempt in range(4):
        for _ in range(100):
            client.call()
        client.clock.advance(0.5 * 2**attempt)
    assert client.factor() == 1.0


def test_account_that_joins_a_certain_actor_is_struck_once_and_so_is_the_actor(client: Account):
    conduct, now_ns = client.conduct, client.clock.now_ns()
    for _ in range(3):
        conduct.joined(5, 900, now_ns)
    assert conduct.standing(5, 900, now_ns).account == pytest.approx(0.5, abs=0.01)
    assert conduct.standing(5, 900, now_ns).cluster == pytest.approx(0.5, abs=0.01)
    conduct.joined(6, 900, now_ns)  # it grows again within the minute
    assert conduct.standing(6, 900, now_ns).cluster == pytest.approx(0.5, abs=0.01)
    conduct.joined(7, 900, now_ns + 61 * SECOND)
    assert conduct.standing(7, 900, now_ns + 61 * SECOND).cluster < 0.35


def test_conduct_goes_along_with_merges_and_splits(client: Account):
    conduct, now_ns = client.conduct, client.clock.now_ns()
    conduct.joined(5, 900, now_ns)
    conduct.joined(5, 901, now_ns)  # its actor was merged into another, or split off
    assert conduct.standing(0, 901, now_ns).cluster == conduct.standing(0, 900, now_ns).cluster < 1.0
    assert conduct.standing(8, 0, now_ns).factor == 1.0


def test_strikes_count_once_over_workers(tmp_path: Path):
    file = tmp_path / "policy.toml"
    file.write_text(POLICY.replace('memory = "private"', f'memory = "{tmp_path}/table"'))
    clock = ManualClock(1_700_000_000 * SECOND)
    limiters = [Limiter(file, clock=clock) for _ in range(2)]
    conducts = [conduct_of(limiter.current) for limiter in limiters]
    struck = [
        conduct.strike(7, Strike.PERSISTS, clock.now_ns()) for conduct in conducts if conduct is not None
    ]
    assert struck == [True, False]
    for _ in range(600):
        for limiter in limiters:
            limiter.decide(path="/v1/chat", identities={"account": "a"})
        clock.advance(0.1)
    factors = {factor_at(limiter, "a") for limiter in limiters}
    assert len(factors) == 1
    assert factors.pop() < 0.6
    for limiter in limiters:
        limiter.close()


async def test_middleware_scales_what_struck_and_lets_others_through_the_gate():
    clock = ManualClock(1_700_000_000 * SECOND)

    async def app(scope, receive, send):  # type: ignore[no-untyped-def]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    middleware = RateLimitMiddleware(app, Policy.from_toml(POLICY), clock=clock, reload_interval_s=0)

    async def call(account: bytes) -> int:
        sent = []

        async def send(message):  # type: ignore[no-untyped-def]
            sent.append(message)

        scope = {
            "type": "http", "method": "POST", "path": "/v1/chat", "raw_path": b"/v1/chat", "root_path": "",
            "query_string": b"", "headers": [], "client": ("192.0.2.1", 1),
            "state": {"account": account.decode()},
        }  # fmt: skip
        await middleware(scope, None, send)  # type: ignore[arg-type]
        return int(sent[0]["status"])

    for _ in range(1_200):
        await call(b"bad")
        clock.advance(0.05)
    clock.advance(200)
    assert 8 <= [await call(b"bad") for _ in range(20)].count(200) <= 11
    assert [await call(b"good") for _ in range(20)].count(200) == 16


def test_any_bytes_in_shared_memory_are_survived():
    shared = mmap(-1, conduct_bytes())
    memory = ConductMemory(shared, boot_id=b"boot", fingerprint=bytes(16))
    shared[4096:] = b"\xff" * (len(shared) - 4096)
    for key in (1, 2**64 - 1, 12345):
        memory.swap(key, memory.word(key), 5)
        memory.set_refusals(key, *memory.refusals(key))
        memory.set_cluster(key, memory.cluster(key))
        # What cannot be where it is found is damage; what can is a wrong count at worst.
        assert memory.damage() in (None, "its records were overwritten", "its ramps were overwritten")
    shared[:100] = b"\xff" * 100
    assert memory.damage() is not None


def test_memory_is_bounded_and_keeps_what_struck():
    memory = ConductMemory(mmap(-1, conduct_bytes()), boot_id=b"boot", fingerprint=bytes(16))
    memory.swap(77, 0, 1_700_000_000 << 32 | 5)
    for key in range(1, 60_000):
        if key != 77:
            memory.set_refusals(key, 1_700_000_000 * SECOND, 1, 1, 0, 1, 0, 1, 0)
    assert memory.word(77) != 0


def test_adaptive_limit_in_shadow_earns_no_strike():
    """What is only tried out leaves no mark: the day it is enforced all accounts begin whole."""
    shadow = Account(POLICY.replace("adaptive = true", 'adaptive = true\nmode = "shadow"', 1))
    shadow.hammer(60)
    assert conduct_of(shadow.limiter.current) is None
    shadow.limiter.close()
    enforced = Account(POLICY)
    enforced.hammer(60)
    assert enforced.factor() < 0.6
    enforced.limiter.close()


class Members:
    """Says of each account that it is a member of one cluster, surely or likely."""

    def __init__(self, bound: BoundPolicy, cluster: int, *, is_certain: bool) -> None:
        compiled = bound.compiled
        self._places = (compiled.actor, compiled.cluster if is_certain else compiled.likely)
        self._cluster = cluster

    def fill(self, row: list[int], /) -> None:
        for place in self._places:
            row[place] = self._cluster

    def observe(self, row: Sequence[int], refused: bool, now_ns: int, counted_at: int = -1, /) -> bool:
        return False


@pytest.mark.parametrize("is_certain", [True, False])
def test_strikes_of_a_cluster_lower_the_limits_of_certain_members_only(
    client: Account, *, is_certain: bool
) -> None:
    bound, cluster = client.limiter.current, 77
    bound.recognition = Members(bound, cluster, is_certain=is_certain)
    bound.by_name = bound.decider = None  # compiled code knows its own watch
    client.call()  # an account that is a member for the first time strikes by that
    for kind in (Strike.GROWS, Strike.PERSISTS):
        client.clock.advance(61)
        client.conduct.strike(cluster, kind, client.clock.now_ns())
    client.clock.advance(200)
    allowed = sum(client.call("another") for _ in range(20))
    assert allowed < 16 if is_certain else allowed == 16
