"""Rates of a lifetime, and balances that are paid in: used once, and never refilled."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from ratelimit import Budgets, RateLimitMiddleware, UsageError
from ratelimit.asgi.usage_page import usage_app
from ratelimit.integrations import llm_errors
from ratelimit.limiter import Limiter
from ratelimit.policy import Policy
from ratelimit.worker.acts import ActFollower
from tests.budgets.test_acts import Host
from tests.cli.running import run, write_policy

YEAR_NS = 366 * 86_400 * 10**9
HEAD = """\
version = 1
[identities]
account = {{ from = "state:account" }}
[store]
keys = 1000
memory = "{path}"
"""
POLICY = (
    HEAD
    + """
[[limit]]
name = "trial"
match = "/trial"
per = "account"
rate = "5/lifetime"
[[limit]]
name = "credit"
match = "/credit"
per = "account"
unit = "usd"
cost = 0
rate = "0/lifetime"
[[limit]]
name = "paid"
match = "/paid"
per = "account"
rate = "0/lifetime"
budget = {{ from = "state:paid", most = 1000000 }}
"""
)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    found = Host(write_policy(tmp_path, POLICY.format(path=tmp_path / "table")))
    monkeypatch.setattr(
        "ratelimit.cli.acts.confirmed", lambda deployment, act: _looked(found, deployment, act)
    )
    yield found
    for follower, limiter in zip(found.followers, found.limiters, strict=True):
        follower.resign()
        limiter.close()


def _looked(host: Host, deployment: Any, act: Any) -> Any:
    from ratelimit.inspection.acts.acting import confirmed

    host.look()
    return confirmed(deployment, act)


def pays(host: Host, account: str, usd: int, micro: int = 0) -> bool:
    """Return whether a request of so many dollars and millionths is admitted."""
    cost = {"usd": usd * 10**6 + micro}
    state = {"account": account}
    return host.limiters[0].decide(path="/credit", client="192.0.2.1", state=state, costs=cost).allowed


def left(host: Host, limit: str, account: str = "a") -> int:
    remaining: int = host.shows(limit, account)["remaining"]
    return remaining


def test_lifetime_is_used_once_and_no_time_brings_it_back(host: Host) -> None:
    assert host.admits(path="/trial") == 5
    state = {"account": "a"}
    now_ns = host.limiters[0].now_ns()
    for at_ns in (now_ns, now_ns + YEAR_NS, now_ns + 10 * YEAR_NS, now_ns - YEAR_NS):
        decision = host.limiters[0].decide(path="/trial", client="192.0.2.1", state=state, now_ns=at_ns)
        assert not decision.allowed
        assert decision.retry_after_ns is None
        (verdict,) = decision.verdicts
        assert verdict.is_used_up
        assert (verdict.remaining, verdict.reset_after_ns, verdict.window_ns) == (0, 0, 0)
    assert host.admits("b", path="/trial") == 5


def test_restarted_workers_go_on_with_what_was_used(host: Host) -> None:
    assert host.admits(path="/trial", count=3) == 3
    for limiter in host.limiters:
        limiter.close()
    host.limiters = [Limiter(host.policy) for _ in range(2)]
    host.followers = [ActFollower(each.store.place) for each in host.limiters]
    assert host.admits(path="/trial") == 2


def test_another_number_of_the_rate_goes_on_with_what_was_used(host: Host, tmp_path: Path) -> None:
    assert host.admits(path="/trial") == 5
    text = POLICY.replace("5/lifetime", "7/lifetime").format(path=tmp_path / "table")
    (limiter,) = [Limiter(write_policy(tmp_path, text))]
    try:
        state = {"account": "a"}
        asked = [limiter.decide(path="/trial", client="192.0.2.1", state=state).allowed for _ in range(9)]
        assert sum(asked) == 2
    finally:
        limiter.close()


def test_balance_is_paid_in_and_used_to_the_millionth(host: Host) -> None:
    assert not pays(host, "a", 0, 1)
    act = host.does("add", "a", "credit=20")
    assert (act["kind"], act["numbers"], act["says"]) == (
        "budget-back",
        {"credit": 20_000_000},
        "credit: 20 usd added",
    )
    assert pays(host, "a", 19, 999_999)
    assert not pays(host, "a", 0, 2)
    assert pays(host, "a", 0, 1)
    assert not pays(host, "a", 0, 1)
    assert not pays(host, "b", 0, 1)
    host.does("add", "a", "credit=0.000003")
    assert left(host, "credit") == 3


def test_customer_pays_before_it_asks_for_the_first_time(host: Host) -> None:
    """Hazard: the command for a payment asks whether a customer that nobody has met is meant."""
    host.admits("somebody else", count=1)
    result = run("act", "budget", "add", host.policy, "account=new", "credit=2")
    assert result.exit_code == 0, result.output


def test_screens_say_what_was_added_and_used(host: Host) -> None:
    """Hazard: of a balance the number is 0, and what is left says of neither how much it was."""
    act = host.does("add", "a", "credit=20")
    assert pays(host, "a", 5)
    host.does("add", "a", "credit=1.5")
    shown = host.shows("credit", "a")
    assert (shown["number"], shown["added"], shown["used"], shown["remaining"]) == (
        0,
        21_500_000,
        5_000_000,
        16_500_000,
    )
    words = " ".join(run("show", "budget", host.policy, "a").stdout.split())
    assert "0 usd in all, 21.5 usd added" in words
    assert "16.5 of 21.5 usd" in " ".join(run("who", host.policy, "a").stdout.split())
    host.undo(act["act"])
    shown = host.shows("credit", "a")
    assert (shown["added"], shown["used"], shown["remaining"]) == (1_500_000, 5_000_000, 0)
    assert host.admits(path="/trial", count=3) == 3
    host.does("add", "a", "trial=4")
    shown = host.shows("trial", "a")
    assert (shown["number"], shown["added"], shown["used"], shown["remaining"]) == (5, 4, 3, 6)


def test_payment_is_taken_back_by_an_undo_also_where_it_is_used(host: Host) -> None:
    act = host.does("add", "a", "credit=20")
    assert pays(host, "a", 15)
    host.undo(act["act"])
    assert left(host, "credit") == 0
    host.does("add", "a", "credit=15")  # which is what was used
    assert left(host, "credit") == 0
    host.does("add", "a", "credit=1")
    assert left(host, "credit") == 10**6


def test_reset_gives_back_what_was_used_and_no_more(host: Host) -> None:
    assert host.admits(path="/trial", count=3) == 3
    host.does("reset", "a", "trial")
    assert host.admits(path="/trial") == 5
    host.does("add", "a", "trial=2")
    assert host.admits(path="/trial") == 2


def test_number_for_a_while_leaves_what_was_used(host: Host) -> None:
    assert host.admits(path="/trial") == 5
    host.does("set", "a", "trial=8/lifetime", "--for", "1h")
    assert host.admits(path="/trial") == 3


def test_overrun_is_owed_and_the_next_payment_pays_it_first(host: Host) -> None:
    host.does("add", "a", "credit=1")
    decision = host.limiters[0].decide(
        path="/credit", client="192.0.2.1", state={"account": "a"}, costs={"usd": 10**6}
    )
    assert decision.allowed
    decision.settle(usd=3 * 10**6)
    host.does("add", "a", "credit=2.5")
    assert left(host, "credit") == 500_000


def test_payment_into_debt_says_what_is_owed_before_and_after(host: Host) -> None:
    host.does("add", "a", "credit=1")
    decision = host.limiters[0].decide(
        path="/credit", client="192.0.2.1", state={"account": "a"}, costs={"usd": 10**6}
    )
    decision.settle(usd=3 * 10**6)
    shown = host.shows("credit")
    assert (shown["remaining"], shown["owed"], shown["used"], shown["added"]) == (
        0,
        2 * 10**6,
        3 * 10**6,
        10**6,
    )
    assert "owed" in run("show", "budget", host.policy, "a").stdout
    usage = client_of(host).get("/usage").json()["limits"]
    assert [(each["limit"], each["owed"]) for each in usage] == [("trial", 0), ("credit", 2.0), ("paid", 0)]
    page = client_of(host).get("/usage", headers={"accept": "text/html"}).text
    assert "0.0 left, 2.0 owed" in page
    add = ("act", "budget", "add", host.policy, "a")
    less = run(*add, "credit=0.5", "--dry-run").stdout
    assert "it owes 2 usd" in less
    assert "then it still owes 1.5" in less
    more = run(*add, "credit=2.5", "--dry-run").stdout
    assert "then 0.5" in more
    assert " left" in more
    reset = run("act", "budget", "reset", host.policy, "a", "credit", "--dry-run").stdout
    assert "then 1 of 4 usd left" in reset
    host.does("reset", "a", "credit")
    assert (host.shows("credit")["remaining"], host.shows("credit")["owed"]) == (10**6, 0)


def test_application_says_what_was_ever_paid(host: Host) -> None:
    assert host.admits(path="/paid", paid=10) == 10
    assert host.admits(path="/paid", paid=10) == 0
    assert host.admits(path="/paid", paid="12/lifetime") == 2
    assert host.admits(path="/paid", paid=11) == 0
    assert host.admits(path="/paid") == 0


def test_program_pays_in(host: Host) -> None:
    budgets = Budgets(host.policy)
    budgets.add("a", {"credit": 12.5}, reason="invoice 4711")
    (shown,) = [each for each in budgets.show("a") if each.rule.name == "credit"]
    assert (shown.used, shown.left.remaining, shown.left.reset_ns) == (0, 12_500_000, 0)
    assert pays(host, "a", 12)
    with pytest.raises(UsageError, match="is no number"):
        budgets.add("a", {"credit": "20/month"})


def test_billing_script_that_is_repeated_pays_once(host: Host) -> None:
    add = ("act", "budget", "add", host.policy, "a", "credit=5", "--once", "invoice 4711")
    first = run(*add)
    assert first.exit_code == 0, first.output
    again = run(*add)
    assert again.exit_code == 0
    assert "Done before, as act 1: nothing more was done." in again.stderr
    assert "are added" not in again.output
    assert json.loads(run(*add, "--json").stdout)["is_repeated"] is True
    assert left(host, "credit") == 5 * 10**6
    other = run("act", "budget", "add", host.policy, "a", "credit=6", "--once", "invoice 4711")
    assert other.exit_code == 3
    assert "another call had this name" in other.stderr
    host.does("add", "a", "credit=5", "--once", "invoice 4712")
    assert left(host, "credit") == 10 * 10**6
    Budgets(host.policy).add("a", {"credit": 5}, once="invoice 4711")
    assert left(host, "credit") == 10 * 10**6


def test_thousand_million_dollars_are_one_payment(host: Host) -> None:
    host.does("add", "a", "credit=999_999_999".replace("_", ""))
    assert left(host, "credit") == 999_999_999 * 10**6
    assert pays(host, "a", 2_000)
    assert left(host, "credit") == 999_997_999 * 10**6


def test_screens_speak_of_a_lifetime_and_of_no_time(host: Host) -> None:
    assert host.admits(path="/trial") == 5
    shown = run("show", "budget", host.policy, "a").stdout
    assert "5 in all" in shown
    assert "5 used" not in shown
    words = run("explain", host.policy, "-r", "GET /trial state:account=a", "--live").stdout
    assert "5 in all" in words
    assert "used up" in words
    who = run("who", host.policy, "a").stdout
    assert "until more is added" in who
    for text in (shown, words, who):
        assert "year" not in text
        assert "0 seconds" not in text


def client_of(host: Host, **more: Any) -> TestClient:
    async def answer(request: Any) -> PlainTextResponse:
        return PlainTextResponse("done")

    class WithAccount:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            scope.setdefault("state", {})["account"] = "a"
            await self.app(scope, receive, send)

    app = Starlette(
        routes=[Route("/trial", answer), Route("/v1/messages", answer), Route("/usage", usage_app())]
    )
    app.add_middleware(RateLimitMiddleware, limiter=host.limiters[0], **more)
    app.add_middleware(WithAccount)
    return TestClient(app, client=("192.0.2.1", 1))


def test_refusal_names_no_time_and_says_why(host: Host) -> None:
    client = client_of(host)
    first = client.get("/trial")
    assert first.headers["ratelimit"] == '"trial";r=4'
    assert first.headers["ratelimit-policy"] == '"trial";q=5'
    for _ in range(4):
        assert client.get("/trial").status_code == 200
    refused = client.get("/trial")
    assert refused.status_code == 429
    assert "retry-after" not in refused.headers
    assert refused.json()["code"] == "used-up"
    assert "waiting does not help" in refused.json()["detail"]


def test_usage_page_says_what_is_left_of_a_balance(host: Host) -> None:
    host.does("add", "a", "credit=20")
    assert pays(host, "a", 5)
    found = client_of(host).get("/usage").json()["limits"]
    (credit,) = [each for each in found if each["limit"] == "credit"]
    assert (credit["left"], credit["reset_s"]) == (15, None)
    assert (credit["size"], credit["used"], credit["added"]) == (20, 5, 20)
    (trial,) = [each for each in found if each["limit"] == "trial"]
    assert (trial["size"], trial["used"], trial["left"], trial["added"]) == (5, 0, 5, 0)
    page = client_of(host).get("/usage", headers={"accept": "text/html"}).text
    assert "credit: 5.0 of 20.0 usd (20.0 of it added) used, 15.0 left" in page
    assert "all of it in" not in page


@pytest.mark.parametrize("form", ["openai", "anthropic", "gemini", "responses"])
def test_clients_are_told_that_the_credit_is_gone(host: Host, form: Any) -> None:
    client = client_of(host, responder=llm_errors.Responder(form))
    assert host.admits(path="/trial") == 5
    refused = client.get("/trial")
    assert refused.status_code == 429
    assert refused.headers["x-should-retry"] == "false"
    assert "retry-after" not in refused.headers
    assert "retry-after-ms" not in refused.headers
    assert "used up" in json.dumps(refused.json())
    if form == "openai":
        assert refused.json()["error"]["code"] == "insufficient_quota"


def problems_of(text: str) -> dict[str, str]:
    """Return the problems and warnings of a policy: code and message."""
    from ratelimit import PolicyError

    try:
        policy = Policy.from_toml(text)
    except PolicyError as error:
        return {problem.code: problem.message for problem in error.problems}
    return {problem.code: problem.message for problem in policy.warnings}


LIMIT = (
    HEAD
    + """
[[limit]]
name = "one"
per = "account"
"""
)


@pytest.mark.parametrize(
    ("keys", "code", "says"),
    [
        ("rate = '5/lifetime'", "limit-lifetime-memory", "reboot"),
        ("rate = '5/lifetime'\nburst = 3", "limit-conflict", "at once"),
        ("rate = '5/lifetime'\nalgorithm = 'fixed-window'", "limit-conflict", "one way"),
        ("rate = '5/lifetime'\nalgorithm = 'calendar'", "limit-conflict", "counted in one way"),
        ("rate = '5/minute'\nalgorithm = 'lifetime'", "limit-conflict", "has no period"),
        ("rate = '5 per 2 lifetimes'", "rate-syntax", "lifetimes"),
        ("rate = '0/lifetime'\nnotify = [0.5]", "limit-notify", "no shares"),
        ("rate = '1000000000000000/lifetime'", "rate-too-high", "are the most"),
        ("rate = '5/minute'\nrollover = 1", "policy-unknown-key", "rollover"),
    ],
)
def test_lifetime_that_cannot_be_is_said(keys: str, code: str, says: str) -> None:
    found = problems_of(LIMIT.format(path="/dev/shm/none") + keys)
    assert code in found, found
    assert says in found[code]


def test_lifetime_beside_a_rate_in_one_limit_binds_too(tmp_path: Path) -> None:
    text = LIMIT.format(path=tmp_path / "table") + "rate = '3/year; 5/lifetime'"
    limiter = Limiter(write_policy(tmp_path, text))
    try:
        now_ns = limiter.now_ns()

        def admitted(at_ns: int) -> int:
            state = {"account": "a"}
            return sum(
                limiter.decide(client="192.0.2.1", state=state, now_ns=at_ns).allowed for _ in range(9)
            )

        assert admitted(now_ns) == 3
        assert admitted(now_ns + 2 * YEAR_NS) == 2
        assert admitted(now_ns + 4 * YEAR_NS) == 0
    finally:
        limiter.close()


def test_bucket_carries_what_was_not_used_over_and_no_more_than_its_burst(tmp_path: Path) -> None:
    text = LIMIT.format(path=tmp_path / "table") + "rate = '100/month'"
    limiter = Limiter(write_policy(tmp_path, text))
    month_ns = 30 * 86_400 * 10**9
    try:
        now_ns = limiter.now_ns()

        def admitted(at_ns: int) -> int:
            state = {"account": "a"}
            asked = (limiter.decide(client="192.0.2.1", state=state, now_ns=at_ns) for _ in range(150))
            return sum(each.allowed for each in asked)

        # A customer that used nothing of ten months has one of them beside that which runs.
        first = admitted(now_ns + 10 * month_ns)
        rest = sum(admitted(now_ns + 10 * month_ns + part * month_ns // 4) for part in range(1, 5))
        assert (first, rest) == (100, 100)
    finally:
        limiter.close()


def test_memory_is_awaited_by_nobody(host: Host) -> None:
    """A decision of a lifetime is made at once, without a wait, by the middleware's own way as well."""

    async def asked() -> list[bool]:
        state = {"account": "a"}
        return [
            (await host.limiters[0].adecide(path="/trial", client="192.0.2.1", state=state)).allowed
            for _ in range(7)
        ]

    assert asyncio.run(asked()) == [True] * 5 + [False] * 2
