"""Budgets over HTTP: what an operator's billing and console call, without a shell."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from ratelimit import Budgets, UsageError
from ratelimit.integrations import budgets as module
from ratelimit.integrations.budgets import budgets_app
from tests.budgets.test_acts import Host
from tests.budgets.test_acts import host as host  # a fixture
from tests.cli.running import run

TOKENS = {"billing": "billing-secret-0123", "support": "support-secret-0123"}


class Caller:
    """A program that calls the budgets of a host."""

    def __init__(self, policy: Any, token: str = TOKENS["billing"], **more: Any) -> None:
        self.app = budgets_app(policy, tokens=TOKENS, **more)
        self.token = token

    async def ask(self, method: str, path: str, body: Any = None, key: str = "", **more: Any) -> Any:
        headers = {"authorization": f"Bearer {self.token}", **({"idempotency-key": key} if key else {})}
        transport = httpx.ASGITransport(app=self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            return await client.request(
                method, path, **({} if body is None else {"json": body}), **{"headers": headers, **more}
            )

    def __call__(self, method: str, path: str, body: Any = None, key: str = "", **more: Any) -> Any:
        return asyncio.run(self.ask(method, path, body, key, **more))

    def done(self, path: str, key: str = "", **body: Any) -> dict[str, Any]:
        answer = self("POST", path, body, key)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def shows(self, account: str = "a", limit: str = "requests") -> dict[str, Any]:
        found = self("GET", f"/show?account={account}").json()["limits"]
        one: dict[str, Any] = next(each for each in found if each["limit"] == limit)
        return one


def acts(host: Host) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run("show", "acts", host.policy, "--json").stdout)["acts"]
    return found


def test_calls_do_what_the_commands_do(host: Host) -> None:
    caller = Caller(host.policy)
    assert host.admits() == 8
    shown, by_command = caller("GET", "/show?account=a").json(), host.does("show", "a")
    for each in (*shown["limits"], *by_command["limits"]):
        del each["reset_after"], each["retry_after"]
    assert shown | {"payers": []} == by_command  # a program names the payer itself
    caller.done(
        "/set", account="a", numbers={"requests": "20/year"}, **{"for": "7d"}, reason="paid", by="Ann"
    )
    host.look()
    assert host.admits() == 12
    (act,) = acts(host)
    assert (act["kind"], act["reason"], act["numbers"]) == ("budget", "paid", {"requests": 20})
    assert act["by"].startswith("billing: Ann, as ")
    caller.done("/add", "invoice 1", account="a", numbers={"requests": 5})
    host.look()
    assert host.admits() == 5
    caller.done("/reset", "ticket 1", account="a", limits=["requests"])
    host.look()
    assert caller.shows()["remaining"] == 25
    assert {each["kind"] for each in caller("GET", "/acts").json()["acts"]} == {"budget", "budget-more"}
    caller.done("/undo", act=act["act"])
    assert len(caller("GET", "/acts").json()["acts"]) == 2


def test_dry_run_shows_what_it_would_do_and_does_nothing(host: Host) -> None:
    caller = Caller(host.policy)
    found = caller.done("/add", account="a", numbers={"requests": 5}, dry_run=True)
    assert "5 more" in found["acts"][0]["does"][0]
    assert found["acts"][0]["doubts"]
    assert "act" not in found["acts"][0]
    assert acts(host) == []


@pytest.mark.parametrize("path", ["/", "/bucket"])
def test_retried_top_up_is_applied_once(host: Host, path: str) -> None:
    """Hazard: a webhook that is repeated until it is answered fills a budget with each repetition."""
    name = "bucket" if path == "/bucket" else "requests"
    if path == "/bucket":
        host.does("set", "a", "requests=1000")
    assert host.admits(path=path) == 8
    caller, body = Caller(host.policy), {"account": "a", "numbers": {name: 3}}
    first = caller.done("/add", "invoice 4711", **body)
    again = Caller(host.policy).done("/add", "invoice 4711", **body)  # another process
    assert (first["is_repeated"], again["is_repeated"]) == (False, True)
    assert [each["act"] for each in first["acts"]] == [each["act"] for each in again["acts"]]
    host.look()
    assert host.admits(path=path) == 3
    caller.done("/add", "invoice 4711", **body)
    host.look()
    assert host.admits(path=path) == 0
    caller.done("/add", "invoice 4712", **body)
    host.look()
    assert host.admits(path=path) == 3


@pytest.mark.parametrize("name", ["requests", "bucket"])
async def test_same_top_up_at_one_moment_is_applied_once(host: Host, name: str) -> None:
    await asyncio.to_thread(host.does, "set", "a", "requests=1000")
    assert host.admits(path="/bucket") == 8
    callers = [Caller(host.policy) for _ in range(4)]
    body = {"account": "a", "numbers": {name: 3}}
    answers = await asyncio.gather(*(one.ask("POST", "/add", body, "invoice 1") for one in callers))
    assert {answer.status_code for answer in answers} == {200}
    assert sorted(answer.json()["is_repeated"] for answer in answers) == [False, True, True, True]
    host.look()
    if name == "bucket":
        assert host.admits(path="/bucket") == 3
    else:
        assert len([each for each in acts(host) if each["kind"] == "budget-more"]) == 1


def test_undone_top_up_is_not_made_again_by_a_late_retry(host: Host) -> None:
    assert host.admits() == 8
    caller, body = Caller(host.policy), {"account": "a", "numbers": {"requests": 3}}
    act = caller.done("/add", "invoice 1", **body)["acts"][0]["act"]
    caller.done("/undo", act=act)
    assert caller.done("/add", "invoice 1", **body)["is_repeated"]
    host.look()
    assert host.admits() == 0


def test_name_of_another_call_is_a_conflict(host: Host) -> None:
    caller, body = Caller(host.policy), {"account": "a", "numbers": {"requests": 3}}
    caller.done("/add", "invoice 1", **body)
    for other in ({**body, "numbers": {"requests": 4}}, {**body, "account": "b"}):
        answer = caller("POST", "/add", other, "invoice 1")
        assert (answer.status_code, answer.json()["code"]) == (409, "budget-once")
    assert len(acts(host)) == 1
    # Another program's names are its own.
    assert not Caller(host.policy, TOKENS["support"]).done("/add", "invoice 1", **body)["is_repeated"]


@pytest.mark.parametrize("path", ["/add", "/reset"])
def test_units_are_not_added_without_a_name(host: Host, path: str) -> None:
    assert host.admits() == 8
    answer = Caller(host.policy)("POST", path, {"account": "a", "numbers": {"requests": 3}})
    assert (answer.status_code, answer.json()["code"]) == (400, "budget-once")
    assert acts(host) == []


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/show?account=a", "/acts", "/set", "/add", "/reset", "/undo"])
@pytest.mark.parametrize(
    "sent",
    ["", "Bearer", "Bearer ", "Bearer billing-secret-012", "Basic billing-secret-0123", "Bearer billing"],
)
def test_nothing_is_open_without_a_token(host: Host, method: str, path: str, sent: str) -> None:
    headers = {"authorization": sent, "idempotency-key": "1"} if sent else {}
    answer = Caller(host.policy)(method, path, headers=headers)
    assert answer.status_code in (401, 405)
    assert "a" not in answer.json().get("limits", ())
    if (method == "GET") == (path in ("/show?account=a", "/acts")):
        assert (answer.status_code, answer.json()["code"]) == (401, "budget-access")
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("tokens", [{}, {"billing": "short"}, {"": "x" * 16}, {"x" * 33: "x" * 16}])
def test_application_without_a_good_token_is_an_error(host: Host, tokens: dict[str, str]) -> None:
    with pytest.raises(UsageError) as caught:
        budgets_app(host.policy, tokens=tokens)
    assert caught.value.code == "budget-access"


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/set", {"account": "a", "numbers": {"request": 9}}, 400, "budget-call"),
        ("/set", {"account": "a", "numbers": {"requests": 0}}, 400, "budget-call"),
        ("/set", {"account": "a", "numbers": {"requests": 1e400}}, 400, "budget-call"),
        ("/set", {"account": "a", "numbers": {}}, 400, "budget-call"),
        ("/set", {"account": "a", "numbers": {"requests": 9}, "for": "400d"}, 400, "budget-call"),
        ("/set", {"account": "", "numbers": {"requests": 9}}, 400, "budget-call"),
        ("/set", {"account": "a", "number": {"requests": 9}}, 400, "budget-call"),
        ("/set", {"account": "a", "identity": "nobody", "numbers": {"requests": 9}}, 400, "budget-call"),
        ("/reset", {"account": "a"}, 404, "budget-call"),
        ("/undo", {"act": "99"}, 404, "budget-call"),
        ("/nothing", {}, 404, "budget-call"),
    ],
)
def test_call_that_cannot_be_is_answered_in_json(
    host: Host, path: str, body: dict[str, Any], status: int, code: str
) -> None:
    text = json.dumps(body).replace("Infinity", "1e400")
    answer = Caller(host.policy)("POST", path, key="k", content=text.encode())
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert acts(host) == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 1000])
def test_body_that_is_no_call_is_an_error(host: Host, body: bytes) -> None:
    answer = Caller(host.policy)("POST", "/set", content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "budget-call")


def test_long_body_is_refused(host: Host) -> None:
    body = b'{"account": "' + b"a" * module.MOST_BYTES + b'"}'
    assert Caller(host.policy)("POST", "/set", content=body).status_code == 413


def test_deployment_out_of_reach_is_for_later(tmp_path: Any, host: Host) -> None:
    text = host.policy.read_text().replace(str(tmp_path / "table"), str(tmp_path / "elsewhere"))
    host.policy.write_text(text)
    answer = Caller(host.policy)("GET", "/show?account=a")
    assert (answer.status_code, answer.json()["code"]) == (503, "budget-deployment")
    assert answer.headers["retry-after"] == "1"


def test_account_that_looks_like_the_hash_of_another_is_itself(host: Host) -> None:
    """Hazard: a program tops up somebody else's budget, whose hash its own account's name happens to be."""
    assert host.admits() == 8
    other = host.does("show", "a")["hash"][:8]
    Budgets(host.policy).set(other, {"requests": 50})
    host.look()
    assert host.admits() == 0
    assert host.admits(other) == 50
    assert Caller(host.policy)("GET", f"/show?account={other}").json()["hash"][:8] != other
    assert Caller(host.policy)("GET", f"/show?account=hash:{other}").json()["hash"][:8] == other


def test_policy_that_was_reloaded_is_the_one_that_counts(host: Host) -> None:
    caller = Caller(host.policy)
    host.policy.write_text(host.policy.read_text().replace('rate = "8/year"', 'rate = "9/year"', 1))
    assert caller.shows()["number"] == 9


def test_program_repeats_a_call_as_http_does(host: Host) -> None:
    assert host.admits() == 8
    budgets = Budgets(host.policy)
    first = budgets.add("a", {"requests": 3}, once="invoice 1", by="Ann")
    assert budgets.add("a", {"requests": 3}, once="invoice 1") == first
    assert acts(host)[0]["by"].startswith("Ann, as ")
    with pytest.raises(UsageError) as caught:
        budgets.reset("a", once="invoice 1")
    assert caught.value.code == "budget-once"
    # No name of a call is in the log, as it may be an invoice's.
    log = b"".join(path.read_bytes() for path in host.policy.parent.glob("table*acts*"))
    assert b"invoice" not in log
