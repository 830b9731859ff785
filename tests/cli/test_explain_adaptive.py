"""`ratelimit explain` of limits that fall with conduct, and of those that let requests wait."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ratelimit.conduct.model.strikes import Strike
from ratelimit.conduct.stage import conduct_of
from ratelimit.limiter import Limiter
from tests.cli.running import run, write_policy
from tests.support.policy_lines import at_top
from tests.support.time import HostClock, stop_host

ADAPTIVE = """
version = 1
[store]
memory = "{folder}/table"
[identities]
account = {{ from = "header:x-api-key" }}
[[limit]]
name = "requests"
per = "account"
rate = "160/day"
adaptive = true
[[limit]]
name = "daily"
per = "account"
rate = "1000/day"
"""
REQUEST = ("-r", "GET /v1/chat account=a", "--live")


def of(policy: Path, *asked: object) -> dict[str, Any]:
    result = run("explain", policy, *asked, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def by_limit(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["limit"]: one for one in found["limits"]}


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    return write_policy(tmp_path, ADAPTIVE.format(folder=tmp_path))


@pytest.fixture(autouse=True)
def stopped(monkeypatch: pytest.MonkeyPatch) -> HostClock:
    """Stop the host's clock: a factor comes back with time, and a busy machine takes its own."""
    return stop_host(monkeypatch)


@pytest.fixture
def limiter(policy: Path) -> Iterator[Limiter]:
    made = Limiter(policy)
    yield made
    made.close()


def strike(limiter: Limiter, account: str, *kinds: Strike) -> None:
    bound = limiter.current
    assert conduct_of(bound) is not None
    key = bound.extractor.value_hash("account", account)
    for kind in kinds:
        assert conduct_of(bound).strike(key, kind, limiter.now_ns())


def test_live_explanation_has_the_factor_and_why(policy: Path, limiter: Limiter):
    strike(limiter, "a", Strike.PERSISTS)
    found = of(policy, *REQUEST)
    limits = by_limit(found)
    assert (limits["requests"]["adaptive"], limits["requests"]["factor"]) == (True, 0.5)
    assert limits["requests"]["remaining"] == 80
    assert (limits["daily"]["adaptive"], limits["daily"]["factor"]) == (False, 1.0)
    assert limits["daily"]["remaining"] == 1000
    account = found["conduct"]["account"]
    assert account["factor"] == pytest.approx(0.5, abs=0.01)
    assert account["strikes"] == 1
    assert account["last"] == ["persists"]
    assert 0 <= account["last_ago"] < 60
    # Half is lost; with a half-life of ten minutes it is a sixteenth after thirty.
    assert 1700 < account["whole_in"] <= 1801
    assert found["conduct"]["cluster"] is None


def test_live_explanation_says_it_in_words(policy: Path, limiter: Limiter):
    strike(limiter, "a", Strike.PERSISTS, Strike.SURER)
    said = " ".join(run("explain", policy, *REQUEST).stdout.split())
    assert "of 25% of what it allows" in said
    assert "the account has 2 strikes, the last" in said
    assert "ago as it kept calling through refusals and the verdict on it rose; whole again in" in said


@pytest.mark.parametrize("has_memory", [True, False])
def test_account_that_never_struck_is_said_to_be(policy: Path, limiter: Limiter, has_memory: bool):
    if has_memory:
        strike(limiter, "b", Strike.PERSISTS)
    else:
        for path in policy.parent.glob("table*conduct*"):
            path.unlink()
    found = of(policy, *REQUEST)
    assert by_limit(found)["requests"]["factor"] == 1.0
    assert found["conduct"] == {"account": None, "cluster": None, "limits": {}}
    assert "nothing struck" in run("explain", policy, *REQUEST).stdout
    assert bool(list(policy.parent.glob("table*conduct*"))) is has_memory  # a look makes none


def test_verdict_of_a_decision_has_the_factor(limiter: Limiter, stopped: HostClock):
    def factors() -> list[float]:
        decision = limiter.decide(path="/", identities={"account": "a"})
        return [verdict.factor for verdict in decision.verdicts]

    assert factors() == [1.0, 1.0]
    strike(limiter, "a", Strike.PERSISTS)
    assert factors() == [0.5, 1.0]
    stopped.advance(1801)
    assert factors() == [1.0, 1.0]


def test_without_live_nothing_is_known_of_conduct(policy: Path):
    request = REQUEST[:2]
    assert of(policy, *request)["conduct"] is None
    assert "--live would say" in run("explain", policy, *request).stdout


WAITING = """
version = 1
[identities]
account = { from = "header:x-api-key" }
[[limit]]
name = "requests"
per = "account"
rate = "60/minute"
burst = 1
wait = "WAIT"
"""


def test_request_that_would_wait_is_said_to(tmp_path: Path):
    policy = write_policy(tmp_path, WAITING.replace("WAIT", "5s"))
    asked = ("-r", "GET / account=a")
    found = of(policy, *asked, "--repeat", 2)
    assert (found["action"], found["waits"], found["retry_after"]) == ("refuse", 5.0, 1.0)
    assert by_limit(found)["requests"]["wait"] == 5.0
    said = " ".join(run("explain", policy, *asked, "--repeat", 2).stdout.split())
    assert "else waits 5 s at most" in said
    assert "waits for “requests”, 5 s at most; room in 1 s, if none is ahead" in said
    with_room = run("explain", policy, *asked).stdout
    assert "else waits 5 s at most" in with_room
    assert "allowed" in with_room
    assert of(policy, *asked)["waits"] is None


def test_request_that_would_wait_too_long_is_refused(tmp_path: Path):
    policy = write_policy(tmp_path, WAITING.replace("WAIT", "500ms"))
    asked = ("-r", "GET / account=a", "--repeat", 2)
    assert of(policy, *asked)["waits"] is None
    said = " ".join(run("explain", policy, *asked).stdout.split())
    assert "refused by “requests”, retry in 1 s, more than the 500 ms it may wait" in said


def test_slots_say_no_time_at_which_there_is_room(tmp_path: Path):
    text = WAITING.replace('rate = "60/minute"\nburst = 1', "concurrent = 1").replace("WAIT", "5s")
    policy = write_policy(tmp_path, text + f'[store]\nmemory = "{tmp_path}/table"\n')
    limiter = Limiter(policy)
    try:
        held = limiter.decide(path="/", identities={"account": "a"})
        said = " ".join(run("explain", policy, "-r", "GET / account=a", "--live").stdout.split())
        assert "waits for “requests”, 5 s at most" in said
        assert "room in" not in said
        held.release()
    finally:
        limiter.close()


def test_request_that_would_be_held_or_challenged_is_said_to(tmp_path: Path):
    policy = write_policy(tmp_path, WAITING.replace("WAIT", "5s"))
    asked = ("-r", "GET / account=a", "--repeat", 2)
    found = of(policy, *asked)
    assert (found["waits"], by_limit(found)["requests"]["action"]) == (5.0, "refuse")
    said = " ".join(run("explain", policy, *asked).stdout.split())
    assert "else waits 5 s at most" in said
    assert "waits for “requests”, 5 s at most" in said
    policy = write_policy(tmp_path, WAITING.replace('wait = "WAIT"', 'on_refusal = ["challenge"]'))
    assert by_limit(of(policy, *asked))["requests"]["action"] == "challenge"
    assert "asks for a step-up" in " ".join(run("explain", policy, *asked).stdout.split())


def test_live_explanation_says_the_step_after_a_strike(tmp_path: Path):
    rules = ADAPTIVE.replace("adaptive = true", 'adaptive = true\non_refusal = ["refuse", "degrade"]')
    policy = write_policy(tmp_path, rules.format(folder=tmp_path))
    limiter = Limiter(policy)
    strike(limiter, "a", Strike.PERSISTS)
    for _ in range(80):
        assert limiter.decide(identities={"account": "a"}, now_ns=limiter.now_ns()).allowed
    found = by_limit(of(policy, *REQUEST))["requests"]
    assert (found["allowed"], found["action"], found["step"]) == (True, "degrade", "degrade")
    assert found["remaining"] == 80
    shown = run("explain", policy, *REQUEST).stdout
    limiter.close()
    assert "passes after a strike (degrade)" in shown
    assert "falls with bad conduct: degrade" in run("check", policy).stdout


def test_live_explanation_says_how_steep_a_rise_is(tmp_path: Path):
    policy = write_policy(tmp_path, at_top(ADAPTIVE.format(folder=tmp_path), 'ramp = "20/hour"'))
    limiter = Limiter(policy)
    for _ in range(25):
        assert limiter.decide(identities={"account": "a"}).allowed
    rise = of(policy, *REQUEST)["rise"]
    assert rise == {"used": 25, "past": 0, "held": pytest.approx(0.4), "mode": "enforce"}
    shown = run("explain", policy, *REQUEST).stdout
    assert "25 requests this hour, 0 in its highest hour before; held" in shown
    assert of(policy, *REQUEST[:2])["rise"] is None
    limiter.close()
