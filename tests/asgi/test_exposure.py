"""What was used and what requests in flight may use together stay within so many budgets.

Each attack is written once, and run with one worker and with four; tests/redis/test_exposure.py has a server.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from ratelimit import Limiter, Policy
from ratelimit.asgi.middleware import RateLimitMiddleware
from ratelimit.clock import ManualClock
from ratelimit.inspection.hosts.refused import refused_callers
from ratelimit.telemetry.collector import RateLimitCollector
from tests.asgi.driver import Client, key, limit, rules
from tests.usage.answers import JSON, whole

BUDGET = 100_000
EXPOSURE = 4
PERIOD_S = 3600


@dataclass
class Ask:
    """One request: its path, the maximum that it declares, and what its answer uses."""

    declared: int | None
    uses: int
    path: str = "/v1/chat/completions"
    model: str = "m"


def answer_of(uses: int) -> bytes:
    usage = {"prompt_tokens": 9, "completion_tokens": uses, "total_tokens": uses + 9}
    return whole({"model": "m", "choices": [{"index": 0, "message": {"content": "w"}}], "usage": usage})


class Provider:
    """Answers once it may, with as many tokens as the request's `uses` says."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.used = 0
        self.in_flight = 0
        self.passes_grants = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.in_flight += 1
        try:
            await self.go.wait()
            uses = scope["uses"]
            if self.passes_grants:
                uses = min(uses, scope["ratelimit"].grant)
            self.used += uses
            start = [(b"content-type", JSON)]
            await send({"type": "http.response.start", "status": 200, "headers": start})
            await send({"type": "http.response.body", "body": answer_of(uses)})
        finally:
            self.in_flight -= 1


class Workers:
    """Some workers over one store, and one provider behind them."""

    def __init__(self, make: Callable[[], Any], count: int = 1) -> None:
        self.provider = Provider()
        self.limiters = [make() for _ in range(count)]
        self.clients = [
            Client(RateLimitMiddleware(self.provider, limiter=limiter, reload_interval_s=0))
            for limiter in self.limiters
        ]
        self._next = 0

    async def ask(self, ask: Ask, account: str = "a") -> int:
        """Send a request to one worker after another; return its status."""
        document: dict[str, Any] = {"model": ask.model, "messages": []}
        if ask.declared is not None:
            document["max_tokens"] = ask.declared
        raw = json.dumps(document).encode()
        self._next += 1
        client = self.clients[self._next % len(self.clients)]
        headers = [*key(account), (b"x-account", account.encode()), (b"content-length", b"%d" % len(raw))]
        scope = client.scope("POST", ask.path, headers)
        scope["uses"] = ask.uses
        parts = [{"type": "http.request", "body": raw, "more_body": False}]
        sent: list[Any] = []

        async def receive() -> Any:
            return parts.pop() if parts else await asyncio.Event().wait()

        async def send(message: Any) -> None:
            sent.append(message)

        await client.app(scope, receive, send)
        return int(sent[0]["status"])

    async def burst(self, asks: list[Ask]) -> list[int]:
        """Send requests at the same time; let their answers come once all of them were decided."""
        self.provider.go.clear()
        tasks = [asyncio.ensure_future(self.ask(one)) for one in asks]
        before = -1
        while before != (now := sum(task.done() for task in tasks) + self.provider.in_flight) or now < len(
            asks
        ):
            before = now
            await asyncio.sleep(0)
        self.provider.go.set()
        return await asyncio.gather(*tasks)

    async def one_by_one(self, asks: list[Ask]) -> None:
        """Send requests one after another, each answered at once."""
        self.provider.go.set()
        for one in asks:
            await self.ask(one)

    def close(self) -> None:
        for limiter in self.limiters:
            limiter.close()


def policy(*, rate: int = BUDGET, more: str = "", **words: Any) -> str:
    words = {"unit": "output_tokens", "usage": "auto", "cost": "learned", **words}
    return rules(limit("tokens", rate=f"{rate}/hour", match="POST /v1/*", **words), more=more)


def workers(count: int, store: Any, **words: Any) -> tuple[Workers, ManualClock]:
    clock = ManualClock()
    text = policy(more=f'[store]\nmemory = "{store / "table"}"', **words)
    return Workers(lambda: Limiter(Policy.from_toml(text), clock=clock), count), clock


ATTACKS: dict[str, tuple[list[Ask], list[Ask], dict[str, Any]]] = {
    "short answers, then true maxima": ([Ask(20_000, 1)] * 1100, [Ask(20_000, 20_000)] * 600, {}),
    "maxima that few need": ([Ask(20_000, 300)] * 300, [Ask(20_000, 20_000)] * 300, {}),
    "embeddings, then chats": (
        [Ask(None, 0, "/v1/embeddings", "embedding")] * 300,
        [Ask(4096, 4096)] * 600,
        {},
    ),
    "nothing declared": ([Ask(None, 1)] * 300, [Ask(None, 8192)] * 600, {"most": 8192}),
    "hidden reasoning": ([Ask(None, 300)] * 100, [Ask(None, 30_000)] * 200, {"most": 32_768}),
    "a maximum beyond the model's": ([Ask(10**9, 300)] * 100, [Ask(10**9, 8192)] * 200, {"most": 8192}),
    "declared in full": ([], [Ask(2000, 2000)] * 600, {"cost": "declared"}),
}


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("attack", ATTACKS)
async def test_burst_uses_no_more_than_the_exposure(attack: str, count: int, tmp_path: Any) -> None:
    """True maxima, quantiles that strangers move, hidden reasoning: 12 to 120 budgets were used at once."""
    past, burst, words = ATTACKS[attack]
    under, _ = workers(count, tmp_path, **words)
    await under.one_by_one(past)
    await under.burst(burst)
    assert BUDGET * 0.5 <= under.provider.used <= BUDGET * EXPOSURE
    under.close()


@pytest.mark.parametrize("exposure", [1, 1.5, 2, 4, 8])
async def test_exposure_is_what_the_policy_says(exposure: float, tmp_path: Any) -> None:
    under, _ = workers(2, tmp_path, exposure=exposure)
    await under.one_by_one([Ask(20_000, 1)] * 100)
    await under.burst([Ask(20_000, 20_000)] * 300)
    least = BUDGET * (exposure - 1 or 1) - 20_000
    assert least <= under.provider.used <= BUDGET * exposure
    under.close()


async def test_debt_is_paid_before_the_next_request(tmp_path: Any) -> None:
    """Debt was forgiven beyond one further quota, so the same burst came again after two periods."""
    under, clock = workers(1, tmp_path)
    for _ in range(200):
        await under.burst([Ask(20_000, 20_000)] * 40)
        clock.advance(PERIOD_S / 20)
    periods = 10
    most = BUDGET * (1 + periods)
    assert most * 0.9 <= under.provider.used <= most * 1.05
    under.close()


@pytest.mark.parametrize("declared", [128_000, 10**9])
async def test_answer_larger_than_the_exposure_is_owed_in_full(declared: int, tmp_path: Any) -> None:
    """Four answers of 128,000 tokens at a time on a budget of 20,000 used 25 budgets an hour, for ever."""
    under, clock = workers(1, tmp_path, rate=20_000)
    for _ in range(100):
        await under.burst([Ask(declared, 128_000)] * 4)
        clock.advance(PERIOD_S)
    assert 20_000 * 90 <= under.provider.used <= 20_000 * 101 + 128_000
    under.close()


@pytest.mark.parametrize(("exposure", "most_used"), [(1, 1.0), (1.1, 1.1), (4, 4)])
@pytest.mark.parametrize(("declared", "uses"), [(10**9, 128_000), (None, 128_000), (2000, 2000)])
async def test_grants_keep_answers_of_any_size_within_the_exposure(
    exposure: float, most_used: float, declared: int | None, uses: int, tmp_path: Any
) -> None:
    under, _ = workers(2, tmp_path, rate=20_000, exposure=exposure)
    under.provider.passes_grants = True
    await under.burst([Ask(declared, uses)] * 40)
    assert 0 < under.provider.used <= 20_000 * most_used
    under.close()


async def test_small_plan_has_one_request_at_a_time_whatever_its_client_declares(tmp_path: Any) -> None:
    under, _ = workers(1, tmp_path, rate=1000)
    assert sorted(await under.burst([Ask(100_000, 50)] * 5)) == [200, 429, 429, 429, 429]
    assert [await under.ask(Ask(100_000, 50)) for _ in range(10)] == [200] * 10
    under.close()


async def test_what_is_in_flight_is_given_back_on_every_ending(tmp_path: Any) -> None:
    """Answered, refused by the provider, raised, cancelled, hung up: nothing stays in flight."""
    under, _ = workers(1, tmp_path)
    random = Random(7)
    go = under.provider.go

    async def app(scope: Any, receive: Any, send: Any) -> None:
        how = random.choice(("raise", "status", "head", "wait", "whole"))
        if how == "raise":
            raise ZeroDivisionError
        status = 503 if how == "status" else 200
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", JSON)]})
        if how == "head":
            return
        if how == "wait":
            await asyncio.Event().wait()
        await send({"type": "http.response.body", "body": answer_of(1)})

    under.clients[0].app.app = app
    for _ in range(300):
        task = asyncio.ensure_future(under.ask(Ask(90_000, 1)))
        for _ in range(random.randrange(1, 12)):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    under.clients[0].app.app = under.provider
    go.set()
    statuses = await under.burst([Ask(99_999, 1)] * 10)
    assert statuses.count(200) == 3
    under.close()


async def test_refusal_by_what_is_in_flight_names_the_limit_and_a_short_wait(tmp_path: Any) -> None:
    under, _ = workers(1, tmp_path)
    client = under.clients[0]
    held = [asyncio.ensure_future(under.ask(Ask(100_000, 1))) for _ in range(3)]
    for _ in range(30):
        await asyncio.sleep(0)
    answer = await client("POST", "/v1/chat/completions", headers=key("a"))
    assert answer.status == 429
    assert answer.headers["retry-after"] == "1"
    assert json.loads(answer.body)["violated-policies"] == ["tokens"]
    assert answer.headers["ratelimit-policy"].count("tokens") == 2  # the name and its unit, once
    under.provider.go.set()
    assert await asyncio.gather(*held) == [200] * 3
    under.close()


@pytest.mark.parametrize(("declared", "least"), [(1024, 0.93), (4096, 0.93)])
async def test_polite_streams_use_their_budget(declared: int, least: float, tmp_path: Any) -> None:
    """50 clients that ask again at once, answers of 300 tokens in the mean at 30 tokens a second."""
    share = await polite(declared, tmp_path)
    assert least <= share <= 1.05


async def polite(declared: int, store: Any, minutes: int = 10, **words: Any) -> float:
    """Return the share of a budget of 60,000 a minute that 50 polite clients use, beyond its burst."""
    clock = ManualClock()
    text = rules(
        limit("tokens", rate="60000/minute", unit="output_tokens", usage="auto", cost="learned", **words)
    )
    under = Workers(lambda: Limiter(Policy.from_toml(text), clock=clock))
    random = Random(declared)
    # By the time that each client's next step is due: what it does then.
    due: list[list[Any]] = [[at / 50, "ask", None] for at in range(50)]
    used = now = 0.0
    client = under.clients[0]
    while now < minutes * 60:
        due.sort(key=lambda one: one[0])
        step = due[0]
        clock.advance(max(0.0, step[0] - now))
        now = max(now, step[0])
        if step[1] == "ask":
            uses = min(declared, round(random.lognormvariate(5.2, 1.0)) + 1)
            go = asyncio.Event()

            async def app(
                scope: Any, receive: Any, send: Any, uses: int = uses, go: asyncio.Event = go
            ) -> None:
                await go.wait()
                await send(
                    {"type": "http.response.start", "status": 200, "headers": [(b"content-type", JSON)]}
                )
                await send({"type": "http.response.body", "body": answer_of(uses)})

            client.app.app = app
            task = asyncio.ensure_future(under.ask(Ask(declared, uses)))
            for _ in range(6):
                await asyncio.sleep(0)
            if task.done():
                step[0] = now + 1.0  # refused; a client honours `Retry-After` of a second
            else:
                step[:] = [now + uses / 30, "end", (task, go, uses)]
        else:
            task, go, uses = step[2]
            go.set()
            await task
            used += uses
            step[:] = [now, "ask", None]
    for step in due:
        if step[1] == "end":
            step[2][1].set()
            await step[2][0]
    under.close()
    return (used - 60_000) / (60_000 * minutes)


async def test_refusals_for_what_is_in_flight_are_seen_by_the_operator(tmp_path: Any) -> None:
    """Hazard: callers are refused by `tokens`, and no metric says that a limit refuses."""
    some, _ = workers(1, tmp_path, most=20_000)
    statuses = await some.burst([Ask(20_000, 10)] * 30)
    registry = CollectorRegistry()
    registry.register(RateLimitCollector(some.limiters[0]))
    counted = registry.get_sample_value(
        "ratelimit_decisions_total", {"limit": "tokens", "action": "refuse", "mode": "exposure"}
    )
    shown = refused_callers(some.limiters[0].policy.compiled, some.limiters[0].store, {})
    named = [each.rule.name for each in shown]
    some.close()
    assert counted == statuses.count(429) > 0
    assert named == ["tokens"]


@pytest.mark.parametrize("rate", ["5000000/day", "17000/day"])
def test_budget_of_many_millions_is_bound(rate: str) -> None:
    """Hazard: the room for what is in flight is more than a bucket can count, and nothing starts."""
    text = rules(limit("spend", rate=rate, match="POST /v1/*", unit="usd", usage="auto", cost="learned"))
    prices = '[prices]\n"*" = { input = 1.0, output = 2.0 }\n'
    limiter = Limiter(Policy.from_toml(text + prices))
    beside = [rule for rule in limiter.rules if rule.is_exposure]
    limiter.close()
    assert [rule.quota for rule in beside] == [rule.burst for rule in beside]
    assert len(beside) == 1
