"""Faked clocks neither raise nor bend: limits go by the host's time, windows of `limits` by the test's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import flask
import hiro
import limits
import pytest
import time_machine
from limits.storage import storage_from_string
from limits.strategies import STRATEGIES

from ratelimit import Limiter, RateLimitMiddleware
from ratelimit.clock import ApplicationClock, ManualClock, SystemClock
from ratelimit.deciding.instants import Instants
from ratelimit.environment.os_time import civil_ns, monotonic_ns
from ratelimit.integrations.limits import SharedStorage
from ratelimit.testing import isolated
from ratelimit.wsgi import RateLimitMiddleware as WsgiMiddleware
from tests.asgi.driver import Client, key, limit, ok, rules
from tests.testing.faking import FAKES, faked

SECOND_NS = 1_000_000_000
POLICY = rules(
    limit("rolling", rate="3/hour", algorithm="sliding-log"),
    limit("fixed", rate="100/hour", algorithm="fixed-window"),
    limit("daily", rate="1000/day", algorithm="fixed-window"),
)


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY)
    return path


each_fake = pytest.mark.parametrize("fake", FAKES)


def times_of(decide: Any) -> list[tuple[bool, int]]:
    """Return of four decisions whether they allow, and the seconds until one may be tried again."""
    decisions = [decide(identities={"account": "a"}, client="::1") for _ in range(4)]
    return [(each.allowed, round((each.retry_after_ns or 0) / SECOND_NS / 60)) for each in decisions]


@each_fake
def test_faked_clocks_neither_raise_nor_bend_decisions(policy: Path, fake: str) -> None:
    with faked(fake):
        limiter = Limiter(policy)
        assert times_of(limiter.decide) == [(True, 0)] * 3 + [(False, 60)]
        assert abs(limiter.clock.now_ns() - civil_ns()) < SECOND_NS
        assert abs(limiter.drift_ns()) < SECOND_NS
    # The same counters, in the same windows, once time is not faked any more; and the other way round.
    assert times_of(limiter.decide)[0] == (False, 60)
    with faked(fake):
        assert times_of(limiter.decide)[0] == (False, 60)
    limiter.close()


@each_fake
async def test_faked_clocks_neither_raise_nor_bend_the_middleware(policy: Path, fake: str) -> None:
    middleware = RateLimitMiddleware(ok, policy=policy, reload_interval_s=0)
    client = Client(middleware)
    statuses, waits = [], []
    for _ in range(4):  # loops have clocks of their own: faked between two of their turns
        with faked(fake):
            scope_of = client("GET", "/", key("a"))
            answer = await scope_of
        statuses.append(answer.status)
        waits.append(int(answer.headers.get("retry-after", 0)))
    assert statuses == [200, 200, 200, 429]
    assert 3500 < waits[-1] <= 3600
    middleware.limiter.close()


@each_fake
def test_faked_clocks_neither_raise_nor_bend_wsgi(policy: Path, fake: str) -> None:
    app = flask.Flask(__name__)
    app.add_url_rule("/", view_func=lambda: "ok")
    app.wsgi_app = WsgiMiddleware(app.wsgi_app, policy=policy)  # type: ignore[method-assign]
    with faked(fake):
        answers = [app.test_client().get("/", headers={"x-api-key": "a"}) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert 3500 < int(answers[-1].headers["retry-after"]) <= 3600


@each_fake
def test_readings_are_the_systems_whatever_is_faked(fake: str) -> None:
    clock = SystemClock()
    before = monotonic_ns()
    with faked(fake):
        inside = monotonic_ns()
        assert type(clock.now_ns()) is int
        assert abs(Instants(clock).read_ns() - clock.now_ns()) < SECOND_NS
    assert before <= inside <= monotonic_ns()


def test_test_s_clock_moves_every_door_under_a_faked_clock(policy: Path) -> None:
    with isolated() as ratelimit, hiro.Timeline().freeze() as timeline:
        limiter = Limiter(policy)
        assert times_of(limiter.decide)[-1] == (False, 60)
        timeline.forward(7200)
        assert not times_of(limiter.decide)[0][0], "hiro moves no limit"
        ratelimit.advance(3600)
        assert times_of(limiter.decide)[0][0]
        limiter.close()


def test_clock_of_a_limiter_from_before_is_moved_and_put_back(policy: Path) -> None:
    limiter = Limiter(policy)
    instants = Instants(limiter.clock)
    with isolated() as ratelimit:
        assert times_of(limiter.decide)[-1] == (False, 60)
        ratelimit.clock.set_ns(ratelimit.clock.now_ns() + 3600 * SECOND_NS)
        assert times_of(limiter.decide)[-1] == (False, 60)
        assert instants.read_ns() - civil_ns() > 3599 * SECOND_NS
    assert abs(instants.read_ns() - civil_ns()) < SECOND_NS
    assert times_of(limiter.decide)[0][0], "and counts where it counted before"
    limiter.close()


@pytest.mark.parametrize("clock", [SystemClock, ApplicationClock])
def test_clock_that_is_not_faked_is_the_hosts_to_the_nanosecond(clock: type[SystemClock]) -> None:
    found = clock(5)
    for _ in range(20_000):
        before = monotonic_ns()
        assert before <= found.now_ns() - 5 <= monotonic_ns()


def test_step_of_civil_time_between_two_readings_is_no_faked_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, steps = ApplicationClock(), iter([-3600.0])

    def stepping() -> float:
        return civil_ns() / SECOND_NS + next(steps, 0.0)

    monkeypatch.setattr(time, "time", stepping)
    assert abs(clock.now_ns() - civil_ns()) < SECOND_NS


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[SharedStorage]:
    made = storage_from_string(f"kinlimit+shared://{tmp_path / 'table'}?megabytes=2")
    assert isinstance(made, SharedStorage)
    yield made
    made.windows.close()


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("start", [None, "past", "future"])
def test_windows_of_limits_follow_the_applications_clock_as_those_of_memory_do(
    storage: SharedStorage, strategy: str, start: str | None
) -> None:
    instant = datetime.now(UTC) + timedelta(days=-4000 if start == "past" else 4000 if start else 0)
    seen = []
    for one in (storage, storage_from_string("memory://")):
        with time_machine.travel(instant.replace(second=0, microsecond=0), tick=False) as traveller:
            limiter, rate = STRATEGIES[strategy](one), limits.parse("2/minute")  # type: ignore[arg-type]
            told = []
            for _ in range(8):
                told.append(limiter.hit(rate, "k"))
                stats = limiter.get_window_stats(rate, "k")
                told.append((round(stats.reset_time - time.time(), 3), stats.remaining))
                traveller.shift(25)
            seen.append(told)
    assert seen[0] == seen[1]


def test_windows_of_limits_go_on_by_the_hosts_time_afterwards(storage: SharedStorage) -> None:
    limiter, rate = STRATEGIES["fixed-window"](storage), limits.parse("1/minute")
    with time_machine.travel(datetime(2012, 12, 12, tzinfo=UTC), tick=False):
        assert [limiter.hit(rate, "k") for _ in range(2)] == [True, False]
    before = time.time()
    assert [limiter.hit(rate, "k") for _ in range(2)] == [True, False]
    assert before + 59 < limiter.get_window_stats(rate, "k").reset_time <= time.time() + 60


def test_clock_leads_and_releases() -> None:
    manual, host = ManualClock(), SystemClock()
    manual.lead(host)
    manual.advance(60)
    assert host.moved_ns == 60 * SECOND_NS
    manual.advance(-90)
    assert host.moved_ns == -30 * SECOND_NS
    manual.release(host)
    manual.advance(60)
    assert host.moved_ns == 0
