"""The adaptive middleware from outside: what a client sees, and what moves the limit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ratelimit import Policy, RateLimitMiddleware
from ratelimit.clock import ManualClock

SECOND = 10**9
TWO_CLASSES = """
version = 1
[store]
memory = "private"
[adaptive]
first_byte = "1s"
in_flight = [1, 4, 8]
[[class]]
name = "interactive"
match = "POST /v1/chat"
[[class]]
name = "batch"
match = "POST /v1/batch"
"""
SHADOW = TWO_CLASSES.replace('"1s"', '"1s"\nmode = "shadow"')


class Server:
    """An application that answers when it is told to, and a client that keeps what it was sent."""

    def __init__(self, policy: str | Path = TWO_CLASSES) -> None:
        self.clock = ManualClock(1_700_000_000 * SECOND)
        middleware = RateLimitMiddleware(
            self.app,
            policy if isinstance(policy, Path) else Policy.from_toml(policy),
            clock=self.clock,
            reload_interval_s=0,
        )
        self.middleware = middleware
        assert middleware.limiter.load is not None
        self.limit = middleware.limiter.load
        self.open: list[Any] = []

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": scope.get("status", 200), "headers": []})
        await receive()
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await receive()
        await send({"type": "http.response.body", "body": b"last"})

    def begin(self, path: str = "/v1/chat", **scope: Any) -> tuple[Any, list[dict[str, Any]]]:
        """Begin a request; return what steps it, and what its client was sent so far."""
        sent: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {
            "type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "root_path": "",
            "query_string": b"", "headers": [], "client": ("192.0.2.1", 1), "http_version": "1.1",
        } | scope  # fmt: skip
        step = self.middleware(scope, Waiting, send).__await__()
        return step, sent


class Waiting:
    """A `receive` that gives control back to the test."""

    def __await__(self) -> Any:
        yield


def go(step: Any) -> bool:
    """Let a request go on; return whether it is over."""
    try:
        next(step)
    except StopIteration:
        return True
    return False


def begin_many(server: Server, count: int, path: str = "/v1/chat") -> list[tuple[Any, list[Any]]]:
    begun = [server.begin(path) for _ in range(count)]
    for step, _ in begun:
        go(step)
    return begun


def test_what_finds_no_room_is_told_to_come_again():
    server = Server()
    begun = begin_many(server, 5)
    assert [sent[0]["status"] for _, sent in begun] == [200] * 4 + [503]
    start, body = begun[4][1]
    headers = dict(start["headers"])
    assert headers[b"retry-after"] in (b"1", b"2")
    assert 0 < int(headers[b"retry-after-ms"]) <= 2_000
    assert headers[b"content-type"] == b"application/problem+json"
    assert json.loads(body["body"])["type"].endswith("#temporary-reduced-capacity")
    assert server.limit.state().shed == {"interactive": 1, "batch": 0}


def test_room_is_back_with_the_first_byte_not_with_the_status():
    server = Server()
    begun = begin_many(server, 4)
    assert server.limit.state().unanswered == 4  # all sent their status already
    go(begun[0][0])
    assert (server.limit.state().unanswered, server.limit.state().in_flight) == (3, 4)
    assert begin_many(server, 1)[0][1][0]["status"] == 200


class Hinting(Server):
    """Sends an early hint (103) before anything else."""

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.early_hint", "links": [b"</style.css>; rel=preload"]})
        await super().app(scope, receive, send)


def test_early_hint_is_no_first_byte():
    """Hazard: the back end looks as if it answered at once, however late it is."""
    server = Hinting()
    begun = begin_many(server, 4)
    assert [sent[0]["type"] for _, sent in begun] == ["http.response.early_hint"] * 4
    assert server.limit.state().unanswered == 4
    go(begun[0][0])
    assert server.limit.state().unanswered == 3


def test_lower_class_goes_first_and_leaves_room_for_the_higher():
    server = Server()
    batch = begin_many(server, 4, "/v1/batch")
    statuses = [sent[0]["status"] for _, sent in batch]
    assert 503 in statuses
    assert begin_many(server, 1, "/v1/chat")[0][1][0]["status"] == 200


BY_WHO = """
version = 1
[store]
memory = "private"
[identities]
account = { from = "header:x-api-key" }
plan = { from = "header:x-plan" }
[adaptive]
first_byte = "1s"
in_flight = [1, 16, 40]
match = "/v1/*"
[[class]]
name = "paid"
when = { plan = ["pro", "team"] }
[[class]]
name = "free"
match = "/v1/*"
[[limit]]
name = "requests"
match = "/v1/*"
per = "account"
rate = "1000/second"
"""


def begin_as(
    server: Server, count: int, account: str, plan: str | None = None, path: str = "/v1/x"
) -> list[int]:
    """Begin requests of an account that stay in flight; return their statuses."""
    headers = [(b"x-api-key", account.encode())] + ([] if plan is None else [(b"x-plan", plan.encode())])
    begun = [server.begin(path, headers=headers) for _ in range(count)]
    for step, _ in begun:
        go(step)
    server.open += begun
    return [sent[0]["status"] for _, sent in begun]


def test_classes_may_go_by_identities():
    server = Server(BY_WHO)
    assert 503 in begin_as(server, 10, "a")
    assert begin_as(server, 6, "b", "pro") == [200] * 6
    assert server.limit.state().shed["paid"] == 0 < server.limit.state().shed["free"]


def test_what_is_not_matched_is_not_counted():
    server = Server(BY_WHO)
    assert begin_as(server, 60, "a", path="/health") == [200] * 60
    assert server.limit.state().in_flight == 0


@pytest.mark.parametrize(
    ("method", "path", "lines", "answered"),
    [
        ("GET", "/metrics", "", True),
        ("HEAD", "/healthz/", "", True),
        ("GET", "/readyz/not", "", False),
        ("POST", "/health", "", False),
        ("GET", "/status", 'except = "GET /status"', True),
        ("GET", "/metrics", 'except = "GET /status"', False),
        ("GET", "/metrics", "except = []", False),
    ],
)
def test_monitors_are_answered_while_there_is_no_room(method: str, path: str, lines: str, answered: bool):
    """Hazard: a server that is saturated shows no metrics, and is restarted for its health."""
    server = Server(TWO_CLASSES.replace("[adaptive]\n", f'[adaptive]\nmode = "shed"\n{lines}\n'))
    begun = begin_many(server, 8)
    step, sent = server.begin(path, method=method)
    go(step)
    assert (sent[0]["status"] == 200) is answered
    assert server.limit.state().in_flight == 4 < len(begun)


def test_heaviest_of_a_class_goes_first():
    server = Server(BY_WHO)
    for number in range(30):  # a minute in which one account used most
        server.clock.advance(1)
        assert begin_as(server, 8, "heavy", "pro") == [200] * 8
        assert begin_as(server, 1, f"light {number}", "pro") == [200]
        server.clock.advance(0.5)
        for step, _ in server.open:
            step.close()
        server.open.clear()
    statuses = begin_as(server, 20, "heavy", "pro")
    assert statuses.count(200) < 16
    assert begin_as(server, 1, "light 3", "pro") == [200]


@pytest.mark.parametrize(
    ("certainty", "verdict"), [(None, "none"), ("likely", "likely"), ("certain", "certain")]
)
def test_what_the_correlator_says_is_in_the_order(certainty: str | None, verdict: str):
    """A likely actor goes before others where there is no room, and is not refused where there is."""
    server = Server(BY_WHO.replace("[[limit]]", '[correlation]\nprincipal = "account"\n[[limit]]'))
    bound = server.middleware.limiter.current
    row = [-1] * len(bound.compiled.identities)
    if certainty is not None:
        row[bound.compiled.actor] = 7
        row[bound.compiled.cluster - (certainty == "likely")] = 7
    priority = server.limit.shed_priority(0, server.clock.now_ns(), bound, row)
    assert priority.verdict == verdict
    assert priority.of == ("others" if certainty is None else certainty)
    assert server.limit.without_room(0, server.clock.now_ns(), bound, row) is None


@pytest.mark.parametrize("path", ["/v1/batch", "/v1/other", "//v1//batch/", "/"])
def test_what_matches_no_class_is_of_the_last(path: str):
    server = Server()
    begin_many(server, 6, path)
    assert server.limit.state().shed["batch"] > 0
    assert server.limit.state().shed["interactive"] == 0


def test_shadow_counts_and_turns_nothing_away():
    server = Server(SHADOW)
    begun = begin_many(server, 6)
    assert {sent[0]["status"] for _, sent in begun} == {200}
    assert server.limit.state().shed["interactive"] == 2


def test_clients_that_hang_up_and_applications_that_fail_leave_nothing_in_flight():
    server = Server()
    begun = begin_many(server, 4)
    for step, _ in begun[:2]:
        step.close()
    with pytest.raises(RuntimeError):
        begun[2][0].throw(RuntimeError("the application failed"))
    assert server.limit.state().in_flight == 1
    assert server.limit.state().pressure == 0.0


def test_late_first_bytes_lower_the_limit_and_prompt_ones_raise_it():
    late, prompt = Server(), Server()
    for server, took_s in ((late, 3.0), (prompt, 0.02)):
        for _ in range(60):
            begun = begin_many(server, 6)
            server.clock.advance(took_s)
            for step, sent in begun:
                while sent[0]["status"] == 200 and not go(step):
                    pass
            server.clock.advance(0.2)
    assert late.limit.state().allowance.unanswered == 1
    assert prompt.limit.state().allowance.unanswered > 4
    assert late.limit.state().pressure > 1 > prompt.limit.state().pressure


def test_refusals_of_the_back_end_are_a_cut():
    """Hazard: the back end's own refusals."""
    server = Server()
    step, _ = server.begin(status=529)
    go(step)
    server.clock.advance(1)
    while not go(step):
        pass
    assert server.limit.state().allowance.unanswered < 4


LIMITED = TWO_CLASSES + '[[limit]]\nname = "r"\nmatch = "/*"\nper = "ip"\nrate = "2/hour"\n'


def test_refusals_of_limits_are_no_samples_and_never_in_flight():
    server = Server(LIMITED)
    begun = begin_many(server, 6)
    assert [sent[0]["status"] for _, sent in begun] == [200, 200, 429, 429, 429, 429]
    assert server.limit.state().in_flight == 2
    assert server.limit.state().shed == {"interactive": 0, "batch": 0}


def test_what_is_shed_has_charged_nothing():
    server = Server(LIMITED.replace('"2/hour"', '"5/hour"'))
    begun = begin_many(server, 5)
    assert [sent[0]["status"] for _, sent in begun] == [200] * 4 + [503]
    for step, _ in begun[:4]:
        while not go(step):
            pass
    assert begin_many(server, 1)[0][1][0]["status"] == 200
    assert begin_many(server, 1)[0][1][0]["status"] == 429


def test_engine_report_is_taken_and_a_stale_one_is_counted():
    """Hazard: an engine's report that lies, freezes or stops."""
    server = Server()
    begun = begin_many(server, 4)
    server.limit.report(running=2, waiting=50)
    assert server.limit.state().allowance.in_flight == len(begun) + 3
    server.clock.advance(6.0)
    assert server.limit.state().allowance.in_flight == 8
    begin_many(server, 1)
    assert server.limit.state().stale_reports == 1


def test_reload_takes_effect_and_keeps_what_was_learned(tmp_path: Path):
    file = tmp_path / "policy.toml"
    file.write_text(TWO_CLASSES)
    server = Server(file)
    for _ in range(6):
        begun = begin_many(server, 4)
        server.clock.advance(3)
        for step, sent in begun:
            while sent[0]["status"] == 200 and not go(step):
                pass
    held = begin_many(server, 1)
    learned = server.limit.state()
    assert learned.allowance.unanswered < 4
    file.write_text(TWO_CLASSES.replace('"1s"', '"2s"').replace("[1, 4, 8]", "[2, 4, 8]"))
    server.middleware.limiter.reload()
    assert server.limit.state().target_ns == 2 * SECOND
    assert server.limit.state().allowance.unanswered == learned.allowance.unanswered
    assert server.limit.state().in_flight == len(held)
    file.write_text('version = 1\n[store]\nmemory = "private"\n')
    server.middleware.limiter.reload()
    assert server.middleware.limiter.load is None
    assert {sent[0]["status"] for _, sent in begin_many(server, 9)} == {200}


def test_without_the_table_there_is_no_such_limit():
    middleware = RateLimitMiddleware(Server().app, Policy.from_toml('version = 1\n[store]\nmemory="private"'))
    assert middleware.limiter.load is None


def test_whole_answer_is_over_before_the_next_is_let_in():
    """Hazard: it counts as under way when the next finds its room, and so no answer ever is a whole one."""
    server = Server()

    async def whole(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"all"})
        await receive()  # a background task

    server.middleware.app = whole
    begun = begin_many(server, 4)
    assert server.limit.state().in_flight == 4
    assert not go(begun[0][0])
    assert server.limit.state().in_flight == server.limit.state().unanswered == 3
    assert go(begun[0][0])
    assert server.limit.state().in_flight == 3
