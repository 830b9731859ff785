"""A store that fails never fails a request: the limits' stance decides."""

from __future__ import annotations

from typing import Any

import pytest

from ratelimit import Limiter, Policy, RateLimitMiddleware, Reason, StoreError
from ratelimit.clock import ManualClock
from ratelimit.events import NullObserver
from ratelimit.stores.contract import Plan
from ratelimit.stores.embedded.store import EmbeddedStore
from ratelimit.worker.diagnostics import start_logging
from tests.asgi.driver import Client, key, limit, ok, rules


class FailingStore:
    """An embedded store with plans that can be made to fail."""

    def __init__(self, clock: ManualClock) -> None:
        self._store = EmbeddedStore.private(keys=1000, clock=clock)
        self.fails = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def plan(self, *given: Any) -> Any:
        return FailingPlan(self, self._store.plan(*given))


class FailingPlan(Plan):
    def __init__(self, store: FailingStore, plan: Any) -> None:
        self._store = store
        self._plan = plan

    def decide(self, *given: Any) -> Any:
        if self._store.fails:
            raise StoreError("gone", code="store-gone", transient=True)
        return self._plan.decide(*given)

    peek = decide


class Watching(NullObserver):
    def __init__(self) -> None:
        self.faults: list[str] = []

    def store_failed(self, error: Any) -> None:
        self.faults.append(error.code)


def failing(stance: str, observer: Any = None) -> tuple[Limiter, FailingStore]:
    clock = ManualClock()
    store = FailingStore(clock)
    policy = Policy.from_toml(rules(limit(rate="1/minute", on_store_error=stance)))
    return Limiter(policy, store=store, clock=clock, observer=observer), store  # type: ignore[arg-type]


@pytest.mark.parametrize(("stance", "allowed"), [("open", True), ("closed", False), ("local", True)])
def test_store_fails_and_the_stance_decides(stance: str, allowed: bool) -> None:
    watching = Watching()
    limiter, store = failing(stance, watching)
    store.fails = True
    decision = limiter.decide(identities={"account": "a"})
    assert (decision.allowed, decision.reason) == (allowed, Reason.STORE)
    assert decision.retry_after_ns == (0 if allowed else None)
    assert watching.faults == ["store-gone"]
    store.fails = False
    statuses = [limiter.decide(identities={"account": "a"}).allowed for _ in range(2)]
    assert statuses == [True, False]


@pytest.mark.parametrize(("stance", "status"), [("open", 200), ("closed", 503)])
async def test_client_sees_the_stance(stance: str, status: int) -> None:
    limiter, store = failing(stance)
    client = Client(RateLimitMiddleware(ok, limiter=limiter, reload_interval_s=0))
    store.fails = True
    answer = await client(headers=key("a"))
    assert answer.status == status
    if status == 503:
        assert answer.headers["retry-after"] == "1"
        assert answer.problem["type"].endswith("#temporary-reduced-capacity")
    store.fails = False
    assert await client.statuses(2, headers=key("a")) == [200, 429]


@pytest.mark.parametrize("logs", [False, True], ids=["bare", "behind the middleware"])
@pytest.mark.parametrize(("observer", "said"), [(None, 1), (NullObserver(), 0)], ids=["none", "silent"])
def test_mistake_is_logged_once_where_nothing_observes(
    observer: NullObserver | None, said: int, *, logs: bool, caplog: pytest.LogCaptureFixture
) -> None:
    text = 'version = 1\n[store]\nmemory = "private"\n[[limit]]\nname = "a"\nper = "ip"\nrate = "1/minute"\n'
    limiter = Limiter(Policy.from_toml(text), observer=observer)
    if logs:
        start_logging(limiter)
    caplog.clear()
    for _ in range(3):
        assert not limiter.decide(path="/").allowed
    limiter.close()
    assert ["[client-missing]" in record.message for record in caplog.records] == [True] * (said or logs)
