"""Limits that ask for a step-up: what asks, and which pass is remembered of which caller."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.responses import PlainTextResponse

from ratelimit import Decision, Limiter, ManualClock, Policy, PolicyError
from ratelimit.deciding.decider import Decider
from ratelimit.deciding.visit import Visit
from ratelimit.events import NullObserver
from tests.asgi.driver import Client, echo, key, limit, mount, rules
from tests.waiting.test_pacing import counted

CHECKED = limit("searches", rate="2/hour", on_refusal=["challenge"])
MINUTE_NS = 60_000_000_000


class Hook:
    """Lets callers pass that are known to have solved a puzzle."""

    def __init__(self, answer: Any = False) -> None:
        self.solved: set[str] = set()
        self.asked: list[tuple[str, str | None]] = []
        self.answer = answer

    async def __call__(self, scope: Any, decision: Decision) -> Any:
        name = dict(scope["headers"])[b"x-api-key"].decode()
        self.asked.append((name, decision.limit))
        assert not decision.allowed
        assert decision.binding is not None
        assert decision.binding.action == "challenge"
        return True if name in self.solved else self.answer


async def test_a_challenge_passed_counts_for_half_an_hour() -> None:
    hook = Hook()
    mounted = mount(rules(CHECKED), challenge=hook)
    assert await mounted.client.statuses(3, headers=key("a")) == [200, 200, 429]
    assert hook.asked == [("a", "searches")]
    hook.solved.add("a")
    assert await mounted.client.statuses(5, headers=key("a")) == [200] * 5
    assert len(hook.asked) == 2  # remembered from then on
    hook.solved.clear()
    mounted.clock.advance(29 * 60)
    assert await mounted.client.statuses(3, headers=key("a")) == [200] * 3
    mounted.clock.advance(61)
    # It has had room for one since, as what passed without room was not charged.
    assert await mounted.client.statuses(3, headers=key("a")) == [200, 429, 429]
    assert len(hook.asked) == 4


async def test_one_caller_that_passed_speaks_for_no_other() -> None:
    hook = Hook()
    mounted = mount(rules(CHECKED), challenge=hook)
    hook.solved.add("a")
    assert await mounted.client.statuses(4, headers=key("a")) == [200] * 4
    assert await mounted.client.statuses(3, headers=key("b")) == [200, 200, 429]


async def test_other_limits_refuse_without_asking_and_bind_who_passed() -> None:
    hook = Hook()
    hook.solved.add("a")
    mounted = mount(rules(CHECKED, limit("all", rate="4/hour")), challenge=hook)
    assert await mounted.client.statuses(6, headers=key("a")) == [200] * 4 + [429] * 2
    assert hook.asked == [("a", "searches")]


async def test_the_application_answers_in_place_of_the_refusal() -> None:
    hook = Hook(PlainTextResponse("solve this first", 403, {"www-authenticate": "Puzzle"}))
    mounted = mount(rules(limit("searches", rate="1/hour", on_refusal=["challenge"])), challenge=hook)
    await mounted.client(headers=key("a"))
    answer = await mounted.client(headers=key("a"))
    assert (answer.status, answer.body) == (403, b"solve this first")
    assert answer.headers["www-authenticate"] == "Puzzle"


async def test_a_handshake_is_challenged_as_a_request_is() -> None:
    hook = Hook()
    policy = rules(limit("sockets", rate="1/hour", unit="handshakes", on_refusal=["challenge"]))
    mounted = mount(policy, echo, challenge=hook)

    async def first() -> str:
        async with mounted.client.websocket(headers=key("a")) as socket:
            return (await socket.receive())["type"]

    assert [await first(), await first()] == ["websocket.accept", "websocket.close"]
    hook.solved.add("a")
    assert await first() == "websocket.accept"
    assert hook.asked == [("a", "sockets")] * 2


async def test_a_message_is_challenged_by_its_handshake() -> None:
    hook = Hook(PlainTextResponse("cannot be sent any more"))
    policy = rules(limit("messages", rate="1/hour", unit="messages", on_refusal=["challenge"]))
    mounted = mount(policy, echo, challenge=hook)

    async def talk(count: int) -> list[str]:
        async with mounted.client.websocket(headers=key("a")) as socket:
            kinds = [(await socket.receive())["type"]]
            for _ in range(count):
                await socket.send("hello")
                kinds.append((await socket.receive())["type"])
        return kinds

    assert await talk(2) == ["websocket.accept", "websocket.send", "websocket.close"]
    assert hook.asked == [("a", "messages")]
    hook.solved.add("a")
    assert await talk(3) == ["websocket.accept"] + ["websocket.send"] * 3
    assert hook.asked == [("a", "messages")] * 2  # a pass counts for the messages to come


async def test_metrics_tell_challenged_from_passed() -> None:
    hook = Hook()
    mounted = mount(rules(CHECKED), challenge=hook)
    await mounted.client.statuses(5, headers=key("a"))
    hook.solved.add("a")
    await mounted.client.statuses(4, headers=key("a"))
    decisions = counted(mounted.middleware.limiter, "ratelimit_decisions")
    assert (decisions["allow", "enforce"], decisions["challenge", "enforce"]) == (6, 3)
    assert counted(mounted.middleware.limiter, "ratelimit_acted") == {("challenge",): 4}


async def test_in_shadow_nobody_is_asked() -> None:
    hook = Hook()
    policy = rules(limit("searches", rate="1/hour", on_refusal=["challenge"], mode="shadow"))
    mounted = mount(policy, challenge=hook)
    assert await mounted.client.statuses(4, headers=key("a")) == [200] * 4
    assert hook.asked == []
    assert counted(mounted.middleware.limiter, "ratelimit_decisions")["challenge", "shadow"] == 3


async def test_all_workers_know_who_passed(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(rules(CHECKED))
    first, second = Limiter(path, challenge=lambda request, decision: True), Limiter(path)
    assert not first.store.counts_alone
    asked: dict[str, Any] = {"identities": {"account": "a"}, "client": "192.0.2.1"}
    assert [first.decide(**asked).allowed for _ in range(3)] == [True] * 3
    assert [second.decide(**asked).allowed for _ in range(3)] == [True] * 3
    asked["identities"] = {"account": "b"}
    assert [second.decide(**asked).allowed for _ in range(3)] == [True, True, False]
    first.close()
    second.close()


class Told(NullObserver):
    def __init__(self) -> None:
        self.codes: list[str] = []

    def diagnosed(self, code: str, _: str) -> None:
        self.codes.append(code)


def fails(request: Any, decision: Decision) -> bool:
    raise RuntimeError("the puzzles are out")


async def waits(request: Any, decision: Decision) -> bool:
    return True


@pytest.mark.parametrize(
    ("hook", "code"),
    [
        (None, ["challenge-missing"]),
        (fails, ["challenge-failed"]),
        (waits, ["challenge-unawaited"]),
        (lambda request, decision: "true", []),
        (lambda request, decision: 1, []),
    ],
)
def test_what_lets_none_pass_refuses_and_is_said_once(hook: Any, code: list[str]) -> None:
    told = Told()
    policy = Policy.from_toml(rules(CHECKED))
    limiter = Limiter(policy, clock=ManualClock(), observer=told, challenge=hook)
    asked: dict[str, Any] = {"identities": {"account": "a"}, "client": "192.0.2.1"}
    assert [limiter.decide(**asked).allowed for _ in range(4)] == [True, True, False, False]
    assert told.codes == code
    limiter.close()


async def test_decide_describes_the_request_to_the_hook() -> None:
    seen: list[dict[str, Any]] = []

    async def hook(request: dict[str, Any], decision: Decision) -> bool:
        seen.append(request)
        return True

    limiter = Limiter(Policy.from_toml(rules(CHECKED)), clock=ManualClock(), challenge=hook)
    for _ in range(3):
        decision = await limiter.adecide(
            method="POST", path="/v1", identities={"account": "a"}, headers={"X-Proof": "42"}
        )
    assert decision.allowed
    assert seen[0]["headers"] == [(b"x-proof", b"42")]
    assert (seen[0]["method"], seen[0]["path"]) == ("POST", "/v1")
    assert seen[0]["identities"] == {"account": "a"}
    limiter.close()


def test_an_account_of_a_cluster_passes_for_itself_alone() -> None:
    policy = rules(
        limit("actor", "cluster:likely", rate="2/hour", on_refusal=["challenge"]),
        more='[correlation]\nprincipal = "account"\n',
    )
    limiter = Limiter(Policy.from_toml(policy), clock=ManualClock(), challenge=lambda request, decision: True)
    bound = limiter.current
    matched = bound.match("GET", "/")

    def row(account: int) -> list[int]:
        found = [-1] * len(bound.compiled.identities)
        found[bound.names["account"]] = account
        found[bound.compiled.likely] = found[bound.compiled.actor] = 77
        return found

    decider = Decider(limiter.runtime)

    def allows(account: int, visit: Visit | None = None) -> bool:
        return decider.decide(bound, matched, row(account), limiter.now_ns(), visit=visit)[0]

    bound.recognition = None  # the rows have their actor
    assert [allows(1) for _ in range(3)] == [True, True, False]
    assert allows(1, Visit({}))
    assert allows(1)
    assert not allows(2)
    limiter.close()


@pytest.mark.parametrize("more", [{"wait": "1s"}, {"mode": 0.5}, {"per": ""}])
def test_what_only_refusals_have_is_a_conflict(more: dict[str, Any]) -> None:
    with pytest.raises(PolicyError) as raised:
        Policy.from_toml(rules(limit("searches", on_refusal=["challenge"], **more)))
    assert "limit-conflict" in [problem.code for problem in raised.value.problems]


async def test_application_finds_what_it_was_let_through_by() -> None:
    seen: list[tuple[bool, str, bool]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        verdict = scope["ratelimit"].decision.verdicts[0]
        seen.append((verdict.allowed, verdict.action, verdict.shadow))
        await PlainTextResponse("ok")(scope, receive, send)

    mounted = mount(rules(CHECKED), app, challenge=lambda scope, decision: True)
    client: Client = mounted.client
    await client.statuses(3, headers=key("a"))
    assert seen == [(True, "allow", False)] * 2 + [(False, "challenge", False)]
