"""Acts on one customer's budget: numbers for a while, units more, a window begun anew; undone, lapsing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ratelimit import Budgets, StoreError, UsageError
from ratelimit.cli import acts
from ratelimit.clock import SystemClock
from ratelimit.inspection.access.deployment import Deployment
from ratelimit.inspection.acts.acting import Confirmation, confirmed
from ratelimit.limiter import Limiter
from ratelimit.stores.acts.act import Act, read_acts
from ratelimit.stores.embedded.board import fingerprint_of
from ratelimit.worker.acts import ActFollower
from tests.cli.running import run, write_policy

POLICY = """\
version = 1
[identities]
account = {{ from = "state:account" }}
[[limit]]
name = "requests"
per = "account"
rate = "8/year"
algorithm = "fixed-window"
[[limit]]
name = "own"
match = "/own"
per = "account"
rate = "8/year"
algorithm = "staggered-window"
budget = {{ from = "state:budget", most = 100 }}
[[limit]]
name = "bucket"
match = "/bucket"
per = "account"
rate = "8/year"
[[limit]]
name = "spend"
match = "/spend"
per = "account"
unit = "usd"
cost = 0
rate = "0.50/year"
algorithm = "sliding-window"
[[limit]]
name = "owed"
match = "/owed"
per = "account"
unit = "usd"
cost = 0
rate = "0.50/year"
[[limit]]
name = "log"
match = "/log"
per = "account"
rate = "8/year"
algorithm = "sliding-log"
[store]
keys = 1000
memory = "{}"
"""
NS = 10**9


class Host:
    """A limiter with shared memory, and the worker's look at acts."""

    def __init__(self, policy: Path) -> None:
        self.policy = policy
        self.limiters = [Limiter(policy) for _ in range(2)]
        self.followers = [ActFollower(each.store.place) for each in self.limiters]

    def look(self) -> None:
        for follower, limiter in zip(self.followers, self.limiters, strict=True):
            follower.look(limiter)

    def admits(self, account: str = "a", path: str = "/", count: int = 60, **state: Any) -> int:
        return sum(
            self.limiters[at % 2]
            .decide(path=path, client="192.0.2.1", state={"account": account, **state})
            .allowed
            for at in range(count)
        )

    def does(self, *words: object, code: int = 0) -> dict[str, Any]:
        command, *rest = words
        sure = () if command in ("show",) else ("--yes",)
        result = run(
            *(("show", "budget") if command == "show" else ("act", "budget", command)),
            self.policy,
            *rest,
            *sure,
            "--json",
        )
        assert result.exit_code == code, result.output
        found: dict[str, Any] = json.loads(result.stdout or "{}")
        return found

    def undo(self, number: str) -> None:
        assert run("act", "undo", self.policy, number).exit_code == 0

    def shows(self, limit: str = "requests", account: str = "a") -> dict[str, Any]:
        return next(each for each in self.does("show", account)["limits"] if each["limit"] == limit)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """Return a host whose workers look for acts when a command waits for them, not by a clock."""
    found = Host(write_policy(tmp_path, POLICY.format(tmp_path / "table")))

    def looked(deployment: Deployment, act: Act) -> Confirmation:
        found.look()
        return confirmed(deployment, act)

    monkeypatch.setattr(acts, "confirmed", looked)
    yield found
    for follower, limiter in zip(found.followers, found.limiters, strict=True):
        follower.resign()
        limiter.close()


def test_number_is_in_force_in_all_workers_and_an_undo_leaves_what_was_used(host: Host) -> None:
    assert host.admits() == 8
    act = host.does("set", "a", "requests=20/year", "--for", "7d", "--reason", "paid")
    assert (act["kind"], act["identity"], act["numbers"]) == ("budget", "account", {"requests": 20})
    assert "20" in act["says"]
    assert "a" not in act["accounts"]
    assert host.admits() == 12
    assert host.admits("b") == 8
    assert host.shows()["used"] == 20
    host.undo(act["act"])
    assert host.admits() == 0
    shown = host.shows()
    assert (shown["number"], shown["used"], shown["remaining"], shown["by"]) == (8, 20, 0, "the rate")


def test_lower_number_refuses_at_once(host: Host) -> None:
    assert host.admits(count=3) == 3
    host.does("set", "a", "requests=3")
    assert host.admits() == 0
    host.does("set", "a", "requests=4")  # the last word counts
    assert host.admits() == 1


def test_units_more_come_on_top_of_what_the_application_says_and_of_each_other(host: Host) -> None:
    assert host.admits(path="/own", count=8, budget=10) == 8
    host.does("add", "a", "own=5")
    host.does("add", "a", "own=5")
    # `requests` binds there, too.
    host.does("set", "a", "requests=1000")
    assert host.admits(path="/own", budget=10) == 12
    assert host.admits(path="/own", budget=11) == 1
    assert host.shows("own")["used"] == 21


def test_reset_begins_the_window_anew_and_an_undo_takes_that_back(host: Host) -> None:
    assert host.admits() == 8
    act = host.does("reset", "a", "requests")
    assert host.shows()["remaining"] == 8
    assert host.admits(count=5) == 5
    assert host.shows()["remaining"] == 3
    host.undo(act["act"])
    assert host.admits() == 0
    assert host.shows()["used"] == 13


def test_units_more_end_with_the_window(host: Host) -> None:
    assert host.admits() == 8
    host.does("add", "a", "requests=5")
    year_ns = 360 * 86_400 * NS
    now_ns = host.limiters[0].now_ns()
    end_ns = now_ns + year_ns - now_ns % year_ns
    subject = host.limiters[0]

    def admitted(at_ns: int) -> int:
        state = {"account": "a"}
        asked = (subject.decide(client="192.0.2.1", state=state, now_ns=at_ns) for _ in range(30))
        return sum(found.allowed for found in asked)

    assert admitted(end_ns - 1) == 5
    assert admitted(end_ns) == 8  # before any worker has looked


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("set", "a", "requests=9/hour"), "is no number"),
        (("set", "a", "requests=0"), "is no number"),
        (("set", "a", "requests=many"), "is no number"),
        (("set", "a", "requests=1e18"), "at most"),
        (("set", "a", "request=9"), "Did you mean `requests`"),
        (("set", "a", "9"), "names no limit"),
        (("set", "a", "log=9"), "keeps as many places"),
        (("set", "a", "requests=9", "--identity", "ip"), "counts by ip"),
        (("reset", "a", "requests"), "has used nothing"),
    ],
)
def test_change_that_cannot_be_is_said_before_anything_is_done(host: Host, words: Any, says: str) -> None:
    command, *rest = words
    result = run("act", "budget", command, host.policy, *rest, "--yes")
    assert result.exit_code in (2, 3)
    assert says in result.stderr
    assert not json.loads(run("show", "acts", host.policy, "--json").stdout)["acts"]


def test_dry_run_says_what_it_would_do_and_a_number_that_is_there_is_a_doubt(host: Host) -> None:
    assert host.admits() == 8
    result = run("act", "budget", "set", host.policy, "a", "requests=20", "--dry-run")
    assert "20 in 360 days in place of 8 in 360 days, the rate" in " ".join(result.stdout.split())
    host.does("set", "a", "requests=20")
    assert run("act", "budget", "set", host.policy, "a", "requests=20").exit_code == 3
    assert host.admits() == 12


def test_difference_is_no_number_in_place_of_another(host: Host) -> None:
    for text in ("requests=+100", "requests=-1"):
        result = run("act", "budget", "set", host.policy, "a", text, "--yes")
        assert result.exit_code == 2
        assert "act budget add" in result.stderr
    with pytest.raises(UsageError, match="act budget add"):
        Budgets(host.policy, identity="account").set("a", {"requests": "+100"})
    assert host.shows()["number"] == 8
    host.does("add", "a", "requests=+2")
    assert host.admits() == 10


def test_number_that_is_lowered_asks_first(host: Host) -> None:
    result = run("act", "budget", "set", host.policy, "a", "requests=3")
    assert result.exit_code == 3
    assert "it lowers `requests` from 8 in 360 days to 3 in 360 days" in result.stderr
    assert host.admits() == 8
    assert run("act", "budget", "set", host.policy, "a", "requests=9").exit_code == 0
    assert run("act", "budget", "set", host.policy, "a", "requests=3", "--yes").exit_code == 0
    assert host.shows()["number"] == 3


def test_dollars_are_written_as_dollars(host: Host) -> None:
    act = host.does("set", "a", "spend=1.25/year")
    assert act["numbers"] == {"spend": 1_250_000}
    assert host.shows("spend")["number"] == 1_250_000


def test_who_and_explain_show_the_number_in_force(host: Host) -> None:
    assert host.admits() == 8
    host.does("set", "a", "requests=20")
    found = json.loads(run("who", host.policy, "a", "--json").stdout)
    mine = next(each for each in found["limits"] if each["limit"] == "requests")
    assert (mine["remaining"], mine["of"]) == (12, 20)
    assert [act["kind"] for act in found["acts"]] == ["budget"]
    text = run("explain", host.policy, "--live", "-r", "GET / ip=192.0.2.1 state:account=a").stdout
    assert "12 left" in text
    assert "20 in 360 days, by an operator's act" in " ".join(text.split())


def test_act_of_another_limit_or_damaged_numbers_means_nothing(host: Host) -> None:
    key = fingerprint_of(host.limiters[0].store.hasher.key).hex()
    hashed = host.limiters[0].current.extractor.value_hash("account", "a")
    now_ns = SystemClock().now_ns()

    def act(number: int, **numbers: int) -> Act:
        return Act(number, "budget", now_ns + number, "me", key, [hashed], "account", numbers=numbers)

    for number in (0, -5, 2**60):
        assert read_acts([act(1, requests=number).line()]) == []
    limiter = host.limiters[0]
    limiter.runtime.amend((act(1, other=50), act(2, log=50), act(3, requests=2**53)))
    # A number that no window can count is cut to what it can.
    assert limiter.decide(client="192.0.2.1", state={"account": "a"}).verdicts[0].quota == 10**15 - 1


def test_policy_without_acts_has_no_stage_for_them(host: Host) -> None:
    def stages() -> list[str]:
        plan = host.limiters[0].current.match_named("GET", "/").plan
        assert plan is not None
        return [stage.name for stage in plan.stages]

    assert stages() == []
    act = host.does("set", "a", "requests=20")
    assert stages() == ["budget"]
    host.undo(act["act"])
    assert stages() == []


def test_program_changes_budgets_as_the_commands_do(host: Host) -> None:
    budgets = Budgets(host.policy)
    assert host.admits() == 8
    (first,) = budgets.set("a", {"requests": "20/year"}, for_s=60, reason="billing")
    (second,) = budgets.add("a", {"requests": 5})
    host.look()
    assert host.admits() == 17
    budgets.reset("a", ["requests"])
    host.look()
    shown = next(each for each in budgets.show("a") if each.rule.name == "requests")
    assert (shown.rule.quota, shown.used, shown.left.remaining) == (50, 25, 25)
    budgets.undo(first)
    budgets.undo(second)
    host.look()
    assert host.admits(count=60) == 8  # a reset gave 25 beyond 8
    with pytest.raises(UsageError, match="Did you mean `requests`"):
        budgets.set("a", {"request": 9})
    with pytest.raises(UsageError, match="no act 99"):
        budgets.undo("99")
    with pytest.raises(UsageError, match="31 days"):
        budgets.set("a", {"requests": 9}, for_s=32 * 86_400)


def test_program_without_a_deployment_is_told_so(tmp_path: Path) -> None:
    path = write_policy(tmp_path, POLICY.format(tmp_path / "table"))
    with pytest.raises(StoreError) as caught:
        Budgets(path).show("a")
    assert caught.value.code == "budget-deployment"


def test_bucket_gets_back_what_was_used_and_an_undo_charges_it_again(host: Host) -> None:
    host.does("set", "a", "requests=1000")
    assert host.admits(path="/bucket") == 8
    act = host.does("add", "a", "bucket=3")
    assert (act["kind"], act["numbers"]) == ("budget-back", {"bucket": 3})
    assert host.admits(path="/bucket") == 3
    act = host.does("reset", "a", "bucket")
    assert act["numbers"] == {"bucket": 8}
    assert host.admits(count=5, path="/bucket") == 5
    host.undo(act["act"])
    assert host.admits(path="/bucket") == 0
    assert host.shows("bucket")["remaining"] == 0


def test_full_bucket_stays_full(host: Host) -> None:
    host.does("set", "a", "requests=1000")
    result = run("act", "budget", "add", host.policy, "a", "bucket=3", "--yes")
    assert (result.exit_code, "has used nothing of bucket" in result.stderr) == (3, True)
    assert host.admits(count=2, path="/bucket") == 2
    assert host.does("add", "a", "bucket=5")["numbers"] == {"bucket": 2}
    assert host.admits(path="/bucket") == 8


def overdraws(host: Host, usd: int, path: str = "/owed") -> None:
    """Let a request use so many millionths of a dollar, as its answer says."""
    decision = host.limiters[0].decide(path=path, client="192.0.2.1", state={"account": "a"})
    assert decision.allowed
    decision.settle(usd=usd)


def test_units_given_back_to_a_bucket_pay_what_is_owed_first(host: Host) -> None:
    """Hazard: "then 0.2 of 0.5 usd left" of a customer that owes 0.1, and has 0.1 then."""
    overdraws(host, 600_000)
    shown = host.shows("owed")
    assert (shown["remaining"], shown["owed"], shown["used"]) == (0, 100_000, 600_000)
    assert "0.1 usd owed" in " ".join(run("show", "budget", host.policy, "a").stdout.split())
    add = ("act", "budget", "add", host.policy, "a", "--dry-run")
    less = " ".join(run(*add, "owed=0.04").stdout.split())
    assert "it owes 0.1 usd, which is paid first" in less
    assert "then it still owes 0.06 usd: refused for 43.2 days" in less
    more = " ".join(run(*add, "owed=0.2").stdout.split())
    assert "0 usd left now, then 0.1 of 0.5 usd left" in more
    host.does("add", "a", "owed=0.2")
    left = host.shows("owed")
    # A server and a table leave out the unit that has begun to refill.
    assert left["remaining"] == pytest.approx(100_000, abs=1)
    assert left["owed"] == 0


@pytest.mark.parametrize("limit", ["owed", "spend"])
def test_what_is_owed_refuses_and_a_preview_says_how_long(host: Host, limit: str) -> None:
    overdraws(host, 900_000, f"/{limit}")
    shown = host.shows(limit)
    assert (shown["remaining"], shown["owed"]) == (0, 400_000)
    (said,) = [
        each
        for each in json.loads(
            run("act", "budget", "set", host.policy, "a", f"{limit}=0.6", "--dry-run", "--json").stdout
        )["does"]
        if "left now" in each
    ]
    assert "0 usd left now, then 0 of 0.6 usd left: refused for " in said
    host.does("set", "a", f"{limit}=0.6")
    state = {"account": "a"}
    assert not host.limiters[0].decide(path=f"/{limit}", client="192.0.2.1", state=state).allowed


def test_dry_run_says_that_the_act_needs_a_yes(host: Host) -> None:
    """Hazard: a dry run that ends well, of an act that does nothing without `--yes`."""
    assert host.admits() == 8
    lower = ("act", "budget", "set", host.policy, "a", "requests=3", "--dry-run")
    said = " ".join(run(*lower).stdout.split())
    assert "this needs --yes: it lowers `requests` from 8 in 360 days to 3 in 360 days" in said
    assert "needs --yes" not in run(*lower, "--yes").stdout
    assert json.loads(run(*lower, "--json").stdout)["needs_yes"] is True
    assert json.loads(run(*lower, "--json", "--yes").stdout)["needs_yes"] is False
    higher = ("act", "budget", "set", host.policy, "a", "requests=20", "--dry-run")
    assert "needs --yes" not in run(*higher).stdout
    assert json.loads(run(*higher, "--json").stdout)["needs_yes"] is False


def test_help_says_what_a_bucket_keeps_and_how_its_burst_follows(host: Host) -> None:
    said = " ".join(run("act", "budget", "set", "--help").stdout.split())
    assert "A bucket keeps the share that is used" in said
    assert "burst changes in proportion" in said
    overdraws(host, 250_000)
    host.does("set", "a", "owed=1")
    assert host.shows("owed")["used"] == pytest.approx(500_000, abs=2)
