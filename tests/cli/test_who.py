"""`ratelimit who`: why a customer is refused, wherever that was counted, and what else binds it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import Depends, FastAPI

from ratelimit import RateLimitMiddleware
from ratelimit.integrations.fastapi import limit
from ratelimit.limiter import Limiter
from ratelimit.worker.acts import ActFollower
from tests.asgi.driver import Client
from tests.cli.running import run, write_policy
from tests.cli.test_actors import actor as actor
from tests.cli.test_actors import key_of
from tests.console.driving import reading
from tests.support.acting import BOTS, START_NS, Actor
from tests.support.campaign import Request, campaign, policy_text
from tests.support.time import stop_host

POLICY = """\
version = 1
[identities]
account = {{ from = "header:x-api-key" }}
payment = {{ from = "header:x-payment", missing = "skip" }}
plan = {{ from = "header:x-plan", missing = "skip" }}
[[limit]]
name = "requests"
match = "/requests"
per = "account"
rate = "2/hour"
[[limit]]
name = "address"
match = "/address"
per = "ip"
rate = "2/hour"
[[limit]]
name = "card"
match = "/card"
per = "payment"
rate = "2/hour"
[[limit]]
name = "trial"
match = "/trial"
per = "account"
rate = "2/hour"
mode = "shadow"
[[limit]]
name = "plans"
match = "/plans"
per = "account"
rate = "2/hour"
tiers = {{ plan = {{ pro = "3/hour" }} }}
[[limit]]
name = "both"
match = "/both"
per = ["account", "ip"]
rate = "2/hour"
[store]
keys = 1000
memory = "{}"
"""
ADDRESS, CARD = "203.0.113.9", "card-9"
ADDRESS_OF_BOTS = "192.0.2.1"


@pytest.fixture
def limiter(tmp_path: Path) -> Iterator[Limiter]:
    limiter = Limiter(write_policy(tmp_path, POLICY.format(tmp_path / "table")))
    yield limiter
    limiter.close()


def spend(limiter: Limiter, path: str, times: int = 5, account: str = "c-5") -> None:
    headers = {"x-api-key": account, "x-payment": CARD}
    for _ in range(times):
        limiter.decide(path=path, headers=headers, client=ADDRESS)


def who(policy: Path, *names: object, code: int = 0) -> dict[str, Any]:
    result = run("who", policy, *names, "--json")
    assert result.exit_code == code, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.mark.parametrize(
    ("path", "name", "per"),
    [
        ("/requests", "requests", "account"),
        ("/address", "address", "ip"),
        ("/card", "card", "payment"),
        ("/plans", "plans", "account"),
        ("/both", "both", "account + ip"),
    ],
)
def test_why_a_customer_is_refused_has_a_true_answer(
    limiter: Limiter, tmp_path: Path, path: str, name: str, per: str
) -> None:
    spend(limiter, path)
    found = who(tmp_path / "policy.toml", "c-5", ADDRESS, CARD)
    assert [(each["limit"], each["per"], each["refused"]) for each in found["refused"]] == [(name, per, 3)]
    refusing = {each["limit"] for each in found["limits"] if each["refuses"] and each["tier"] is None}
    assert refusing == {name}
    assert f"{name}" in run("who", tmp_path / "policy.toml", "c-5", ADDRESS, CARD).stdout


def test_every_limit_is_shown_with_what_is_left(limiter: Limiter, tmp_path: Path) -> None:
    spend(limiter, "/requests", 1)
    spend(limiter, "/trial", 5)
    spend(limiter, "/both", 1)
    found = who(tmp_path / "policy.toml", "c-5", ADDRESS, f"payment={CARD}")
    left = {
        (each["limit"], each["tier"]): (each["remaining"], each["of"], each["mode"])
        for each in found["limits"]
    }
    assert left == {
        ("requests", None): (1, 2, "enforce"),
        ("address", None): (2, 2, "enforce"),
        ("card", None): (2, 2, "enforce"),
        ("trial", None): (0, 2, "shadow"),
        ("plans", None): (2, 2, "enforce"),
        ("plans", "pro"): (3, 3, "enforce"),
        ("both", None): (1, 2, "enforce"),
    }
    text = run("who", tmp_path / "policy.toml", "c-5", ADDRESS).stdout
    assert "would refuse" in text
    assert "No limit refused it" in text
    # By the account alone the limit per address is no limit of this caller that is known.
    assert "address" not in {each["limit"] for each in who(tmp_path / "policy.toml", "c-5")["limits"]}
    assert who(tmp_path / "policy.toml", "c-5")["not_looked_at"] == ["both"]


@pytest.mark.parametrize("account", ["c-5", "c-6"])
def test_a_hash_of_several_identities_is_their_limit_and_what_is_left_of_it(
    limiter: Limiter, tmp_path: Path, account: str
) -> None:
    """Hazard: a hash that screens show of a limit by account and address, which no command knows."""
    policy = tmp_path / "policy.toml"
    spend(limiter, "/both", 3, account)
    spend(limiter, "/both", 1, "other")
    (shown,) = json.loads(run("show", "refused", policy, "--json").stdout)["refused"]
    (by_name,) = [each for each in who(policy, account, ADDRESS)["limits"] if each["limit"] == "both"]
    found = who(policy, shown["hash"])
    (left,) = found["limits"]
    waits = ("retry_after", "reset_after")
    assert {**left, **{name: by_name[name] for name in waits}} == by_name
    assert (by_name["remaining"], by_name["refuses"]) == (0, True)
    assert [each["limit"] for each in found["refused"]] == ["both"]
    assert [each["limit"] for each in who(policy, shown["key"])["limits"]] == ["both"]
    result = run("act", "stop", policy, shown["hash"])
    assert result.exit_code == 2
    assert "`both` counts account + ip by" in result.stderr


def test_a_hash_of_several_identities_says_whose_where_they_were_met(actor: Actor, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    text = policy.read_text()
    policy.write_text(
        f'{text}\n[[limit]]\nname = "both"\nmatch = "/both"\nper = ["account", "ip"]\nrate = "2/hour"\n'
    )
    limiter = Limiter(policy, clock=actor.clock)
    address = [each.address for each in campaign() if each.account == "bot7"][-1]
    for _ in range(3):
        limiter.decide(path="/both", headers={"x-api-key": "bot7"}, client=address)
    limiter.close()
    (shown,) = [
        each
        for each in json.loads(run("show", "refused", policy, "--json").stdout)["refused"]
        if each["limit"] == "both"
    ]
    account = f"{key_of(actor, 'bot7'):016x}"
    found = who(policy, shown["hash"])
    assert found["together"][0] == {"identity": "account", "hash": account}
    result = run("act", "stop", policy, shown["hash"])
    assert f"account=hash:{account}" in result.stderr
    assert run("act", "stop", policy, f"account=hash:{account}", "--dry-run").exit_code == 0


@pytest.mark.parametrize("place", ["file", "act"])
def test_an_account_of_an_organisation_by_its_card_alone_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Hazard: who pays by a declared card is a member, and nothing on its page says of what."""
    policy = tmp_path / "policy.toml"
    known = '[correlation.known]\norganisations."Acme" = { payment = ["card-1"] }'
    store = f'memory = "{tmp_path / "table"}"\nkeys = 5000'
    policy.write_text(policy_text(store=store, more=known if place == "file" else ""))
    school = Actor(policy)
    pupils = (
        Request(60.0 + at, f"pupil{at % 4}", f"card-{1 + at % 2}", "", "203.0.113.7") for at in range(40)
    )
    school.live(pupils)
    school.rest_until(START_NS + 300 * 10**9)
    assert school.limiter.clustering is not None
    school.limiter.clustering.resign(school.clock.now_ns())
    stop_host(monkeypatch, school.clock.now_ns())
    if place == "act":
        made = run("act", "declare", "organisation", policy, "Acme", "--payment", "card-1", "--yes")
        assert made.exit_code == 0, made.output
    card = school.limiter.current.extractor.value_hash("payment", "card-1")
    by = "in the policy file" if place == "file" else "act 1"
    words = f"of organisation Acme by its payment {card:016x}"[:-8] + f", {by}"
    assert who(policy, "pupil0")["declared"] == [words]
    assert words in run("who", policy, "pupil2").output.replace("\n", " ")
    assert who(policy, "pupil1")["declared"] == []
    with reading(policy) as pages:
        assert words in pages.find("pupil0").text
        assert "of organisation" not in pages.find("pupil1").text
    school.limiter.close()


def test_who_charges_nothing(limiter: Limiter, tmp_path: Path) -> None:
    spend(limiter, "/requests", 1)
    for _ in range(3):
        who(tmp_path / "policy.toml", "c-5")
    assert who(tmp_path / "policy.toml", "c-5")["limits"][0]["remaining"] == 1


def test_nobody_known_is_an_error(limiter: Limiter, tmp_path: Path) -> None:
    assert who(tmp_path / "policy.toml", "nobody", code=3)["known"] is False
    assert run("who", tmp_path / "policy.toml", "00000000").exit_code == 3


def test_a_member_of_an_actor_is_shown_with_it(actor: Actor, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    found = who(policy, "bot7")
    assert found["actor"]["verdict"] == "certain"
    assert found["actor"]["accounts"] == 60
    assert [(each["limit"], each["per"]) for each in found["refused"]] == [("one actor", "cluster")]
    refusing = {each["limit"]: each["refuses"] for each in found["limits"]}
    assert refusing == {"requests": False, "one actor": True}
    assert {each["identity"] for each in found["counted_by"]} >= {"account", "payment"}
    assert found["evidence"]["principal"] == f"{key_of(actor, 'bot7'):016x}"
    by_actor = who(policy, found["actor"]["actor"][:8])
    assert by_actor["refused"] == found["refused"]
    text = run("who", policy, "bot7").stdout
    assert "6 payment methods of 60 accounts" in text
    honest = who(policy, "person1")
    assert (honest["actor"], honest["refused"]) == (None, [])
    assert not any(each["refuses"] for each in honest["limits"])


def test_an_address_as_written_finds_the_accounts_that_its_hash_finds(actor: Actor, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    written = who(policy, ADDRESS_OF_BOTS)
    (own,) = [each["hash"] for each in written["counted_by"] if each["identity"] == "ip"]
    for form in (int(own, 16), int(own, 16) ^ 1):
        by_hash = who(policy, f"ip=hash:{form:016x}")
        assert by_hash["account_count"] == written["account_count"] == len(BOTS)
        assert by_hash["accounts"] == written["accounts"]
        assert by_hash["users"] == written["users"]
    assert "60 accounts seen with it: 60 in actor" in run("who", policy, ADDRESS_OF_BOTS).stdout
    card = who(policy, "payment=stolen3")
    assert card["account_count"] == len(card["accounts"]) == 10
    screen = run("who", policy, "payment=stolen3").stdout
    assert "10 accounts seen with it" in screen
    (busiest,) = re.findall(r"the busiest: ((?:[0-9a-f]{8}(?:,\s+)?){5})", screen)
    found = re.findall(r"[0-9a-f]{8}", busiest)
    assert found == [each["account"][:8] for each in card["accounts"][:5]]
    # And from an account to its card, and how many use it.
    shown = run("who", policy, found[0]).stdout
    assert f"account {found[0]}" in shown
    assert re.search(r"seen with +\w+ [0-9a-f]{8}, used by \d+ accounts", shown)
    assert re.search(r"payment [0-9a-f]{8}, used by 10 accounts", shown)
    assert who(policy, "ip=198.51.100.250", code=3)["account_count"] == 0


def test_a_refused_account_is_found_by_its_address_as_written(actor: Actor, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    home = next(each.address for each in campaign() if each.account == "person1")
    assert who(policy, home)["users"] == []
    for _ in range(1001):
        actor.limiter.decide(path="/v1/x", headers={"x-api-key": "person1"}, client=home)
    found = who(policy, home)
    assert found["users"] == [f"{key_of(actor, 'person1'):016x}"]
    assert [each["limit"] for each in found["refused"]] == ["requests"]
    assert "No limit refused it" not in run("who", policy, home).stdout


def test_what_is_written_is_asked_about_before_what_is_around_it(
    actor: Actor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hazard: a question has room for some hashes, and the caller's own was left out for those around it."""
    policy = tmp_path / "policy.toml"
    home = next(each.address for each in campaign() if each.account == "person1")
    for _ in range(1001):
        actor.limiter.decide(path="/v1/x", headers={"x-api-key": "person1"}, client=home)
    key = f"{key_of(actor, 'person1'):016x}"
    for most in (2, 64):
        monkeypatch.setattr("ratelimit.inspection.callers.person.MOST_HASHES", most)
        for name in ("person1", f"account=hash:{key}", f"hash:{key}"):
            assert [each["limit"] for each in who(policy, name)["refused"]] == ["requests"], (most, name)


def test_an_act_shows_at_once(actor: Actor, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    assert who(policy, "bot7")["acts"] == []
    assert run("act", "exempt", policy, "bot7").exit_code == 0
    found = who(policy, "bot7")
    assert [each["kind"] for each in found["acts"]] == ["exempt"]
    assert found["actor"] is None
    assert run("act", "clear", policy, "bot8").exit_code == 0
    found = who(policy, "bot9")
    assert [each["kind"] for each in found["acts"]] == ["clear"]
    assert found["actor"]["ruling"] == "clear"
    assert run("act", "exempt", policy, "bot9", "--from", "limits").exit_code == 0
    assert [each["kind"] for each in who(policy, "bot9")["acts"]] == ["clear", "exempt-limits"]


@pytest.mark.parametrize(("kind", "named", "asked"), [("exempt", "bot7", "bot7"), ("clear", "bot8", "bot9")])
def test_what_refused_an_actor_stays_when_an_act_takes_its_accounts_out(
    actor: Actor, tmp_path: Path, kind: str, named: str, asked: str
) -> None:
    """Hazard: once the customer is helped, nobody can say any more what had refused him."""
    policy = tmp_path / "policy.toml"
    (before,) = [each for each in who(policy, asked)["refused"] if each["limit"] == "one actor"]
    assert before["until_act"] is None
    assert run("act", kind, policy, named).exit_code == 0
    found = who(policy, asked)
    (after,) = [each for each in found["refused"] if each["limit"] == "one actor"]
    assert after == {**before, "until_act": "1"}
    assert [(each["actor"], each["act"]) for each in found["left"]] == [(before["hash"], "1")]
    result = run("who", policy, asked)
    assert "one actor until act 1" in " ".join(result.stdout.split())
    assert f"Act 1 took it out of actor {before['hash'][:8]} at " in result.stderr
    assert run("act", "undo", policy, "1").exit_code == 0
    (again,) = [each for each in who(policy, asked)["refused"] if each["limit"] == "one actor"]
    assert again == before


def test_undo_of_a_clear_counts_the_accounts_that_the_clear_counted(actor: Actor, tmp_path: Path) -> None:
    """Hazard: sixty accounts are bound again by an undo that spoke of one."""
    policy = tmp_path / "policy.toml"
    clear = run("act", "clear", policy, "bot8")
    assert clear.exit_code == 0
    assert "frees 60 accounts of actor" in clear.stderr
    ActFollower(actor.limiter.store.place).look(actor.limiter)
    actor.tick()
    assert actor.cluster("bot8") == -1  # workers have it
    undo = run("act", "undo", policy, "1", "--dry-run")
    assert re.search(r"60 accounts of actor [0-9a-f]{8} are bound by limits per actor again", undo.output)
    assert "1 account" not in undo.output


@pytest.mark.parametrize("name", ["in code", None])
async def test_a_limit_in_code_is_shown_with_what_is_left(tmp_path: Path, name: str | None) -> None:
    """Hazard: of a limit that a route declares, nothing is known but that something refused.

    One without a name gives each route a budget of its own: its counter is no caller's alone.
    """
    app = FastAPI()
    called, per = (name, "account") if name else ("2/hour per account", "account + asked_route")

    @app.get("/search", dependencies=[Depends(limit("2/hour", per="account", name=name))])
    async def search() -> str:
        return "found"

    policy = write_policy(tmp_path, POLICY.format(tmp_path / "table"))
    limiter = Limiter(policy)
    app.add_middleware(RateLimitMiddleware, limiter=limiter, reload_interval_s=0)
    client = Client(app)  # type: ignore[arg-type]
    assert await client.statuses(3, "GET", "/search", [(b"x-api-key", b"c-5")]) == [200, 200, 429]
    found = who(policy, "c-5")
    (refused,) = found["refused"]
    assert (refused["limit"], refused["per"], refused["refused"]) == (called, per, 1)
    (left,) = [each for each in found["limits"] if each["limit"] == called]
    assert (left["remaining"], left["of"], left["refuses"]) == (0, 2, True)
    (revealed,) = json.loads(run("show", "refused", policy, "--reveal", "account=c-5", "--json").stdout)[
        "refused"
    ]
    assert (revealed["limit"], revealed["refused"]) == (called, 1)
    asked = ["explain", policy, "-r", "GET /search account=c-5", "--live", "--ask", called]
    explained = json.loads(run(*asked, "--json").stdout)
    (line,) = [each for each in explained["limits"] if each["limit"] == called]
    assert line["allowed"] is False
    with reading(policy) as pages:
        assert f"{called} refuses: the next request fits in" in pages.find("c-5").text
    assert run("act", "budget", "set", policy, "c-6", f"{called}=3", "--yes").exit_code == 0
    ActFollower(limiter.store.place).look(limiter)
    assert await client.statuses(4, "GET", "/search", [(b"x-api-key", b"c-6")]) == [200, 200, 200, 429]
    (left,) = [each for each in who(policy, "c-6")["limits"] if each["limit"] == called]
    assert (left["remaining"], left["of"]) == (0, 3)
    limiter.close()


def test_an_act_on_an_account_is_in_force_where_its_address_is_shown(actor: Actor, tmp_path: Path) -> None:
    """Hazard: the address's screen said that the act has ended, while it refused every request."""
    policy = tmp_path / "policy.toml"
    home = next(each.address for each in campaign() if each.account == "person1")
    assert run("act", "stop", policy, "person1", "--for", "30d").exit_code == 0
    ActFollower(actor.limiter.store.place).look(actor.limiter)
    assert not actor.limiter.decide(path="/v1/x", headers={"x-api-key": "person1"}, client=home).allowed
    shown = run("who", policy, home).stdout
    assert "ended" not in shown
    assert f"on account {key_of(actor, 'person1'):016x}"[:19] in shown
    assert "stopped, by account: every request is refused" in shown
    assert [each["kind"] for each in who(policy, home)["acts_on_users"]] == ["stop"]


def test_a_rate_says_of_which_plan_it_is_and_a_named_plan_has_its_own_alone(
    limiter: Limiter, tmp_path: Path
) -> None:
    """Hazard: of two rates of one limit, the first seemed to hold whatever the plan."""
    spend(limiter, "/plans", 1)
    policy = tmp_path / "policy.toml"
    both = run("who", policy, "c-5")
    for name in ("plans, with any other plan", "plans, if its plan is pro"):
        assert name in both.stdout
    assert "write `plan=NAME` beside it" in both.stderr
    for plan, tier in (("pro", "pro"), ("free", None)):
        own = run("who", policy, "c-5", f"plan={plan}")
        assert "write `plan=NAME`" not in own.stderr
        assert "`plans`" not in own.stderr
        limits = who(policy, "c-5", f"plan={plan}")["limits"]
        assert [each["tier"] for each in limits if each["limit"] == "plans"] == [tier]


def test_a_plan_is_known_by_the_last_refusal_and_a_screen_says_since_when(
    limiter: Limiter, tmp_path: Path
) -> None:
    """Hazard: one screen said that the plan was not known, and that tier pro refused the caller."""
    policy = tmp_path / "policy.toml"
    for _ in range(5):
        limiter.decide(path="/plans", headers={"x-api-key": "c-5", "x-plan": "pro"}, client=ADDRESS)
    shown = run("who", policy, "c-5")
    assert "Its plan: tier pro at its last refusal, " in shown.stderr
    assert "not known" not in shown.stderr
    own = [(each["limit"], each["tier"]) for each in who(policy, "c-5")["limits"]]
    assert ("plans", "pro") in own
    assert ("plans", None) not in own
    assert "Its plan" not in run("who", policy, "c-5", "plan=free").stderr
    spend(limiter, "/plans", account="c-6")
    assert "Its plan: no tier at its last refusal, " in run("who", policy, "c-6").stderr
    assert [each["tier"] for each in who(policy, "c-6")["limits"] if each["limit"] == "plans"] == [None]


OWED = """\
version = 1
[identities]
account = {{ from = "header:x-api-key" }}
[[limit]]
name = "spend"
per = "account"
algorithm = "{algorithm}"
{more}
[store]
keys = 1000
memory = "{place}"
"""

DOLLARS = 'unit = "usd"\nrate = "0.50/year"\ncost = 0\n'
TOKENS = 'unit = "tokens"\nrate = "5/year"\ncost = "header:x-cost"\n'


@pytest.mark.parametrize("algorithm", ["token-bucket", "sliding-window", "fixed-window"])
@pytest.mark.parametrize(
    ("more", "used", "left", "word"),
    [
        (DOLLARS, {"usd": 900_000}, "0 of 0.5 usd", "refuses: the next request"),
        (f'{DOLLARS}mode = "shadow"\n', {"usd": 900_000}, "0 of 0.5 usd", "would refuse: the next request"),
        (TOKENS, {"tokens": 5}, "0 of 5 tokens", "refuses: the smallest request"),
    ],
    ids=["owed", "in shadow", "nothing left"],
)
def test_limit_charged_as_it_settles_is_said_to_refuse_as_long_as_the_limiter_does(
    tmp_path: Path, algorithm: str, more: str, used: dict[str, int], left: str, word: str
) -> None:
    """Hazard: "has room, 0 of 0.5 usd" of a caller that gets 423 refusals."""
    text = OWED.format(algorithm=algorithm, more=more, place=tmp_path / "table")
    policy = write_policy(tmp_path, text)
    limiter = Limiter(policy)
    try:
        request: dict[str, Any] = {"path": "/", "client": ADDRESS, "headers": {"x-api-key": "c-5"}}
        first = limiter.decide(**request)
        assert first.allowed
        first.settle(used)
        (refusal,) = limiter.peek(**request, costs={} if "usd" in used else {"tokens": 1}).verdicts
        assert refusal.retry_after_ns
        (found,) = who(policy, "c-5")["limits"]
        assert (found["remaining"], found["refuses"]) == (0, True)
        assert 0 < found["retry_after"] <= refusal.retry_after_ns / 1e9
        assert f"{left}, {word} fits in" in " ".join(run("who", policy, "c-5").stdout.split())
        with reading(policy) as reader:
            page = reader.find("c-5").text
        assert f"{word} fits in" in page
        assert "has room" not in page
    finally:
        limiter.close()
