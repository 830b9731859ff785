"""Names that people give to commands: whatever a screen shows is understood, and nothing is done in vain."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from ratelimit.inspection.callers.refusals import HostsReport
from ratelimit.inspection.hosts.moment import Refused
from ratelimit.limiter import Limiter
from ratelimit.stores.acts.file import ActFile
from ratelimit.worker.acts import ActFollower
from tests.cli.running import in_group, run, write_policy
from tests.cli.test_actors import REFUSED, key_of
from tests.cli.test_actors import actor as actor
from tests.support.acting import BOTS, END_NS, START_NS, Actor
from tests.support.campaign import Request

POLICY = """\
version = 1
[identities]
account = {{ from = "header:x-api-key" }}
payment = {{ from = "header:x-payment", missing = "skip" }}
[[limit]]
name = "requests"
per = "account"
rate = "2/hour"
[[limit]]
name = "address"
per = "ip"
rate = "3/hour"
[[limit]]
name = "card"
per = "payment"
rate = "4/hour"
[store]
keys = 1000
memory = "{}"
"""


def tried(policy: Path, *command: object) -> dict[str, Any]:
    result = run(*in_group(command[0]), policy, *command[1:], "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def refused_by(result: Result, code: int, *words: str) -> None:
    assert result.exit_code == code, result.output
    for each in words:
        assert each in result.stderr


@pytest.fixture
def policy(actor: Actor, tmp_path: Path) -> Path:
    return tmp_path / "policy.toml"


def hash_forms(shown: str) -> list[str]:
    return [shown, shown[:8], f"hash:{shown}", f"hash:{shown[:8]}"]


def test_whatever_a_screen_shows_of_an_account_or_actor_can_be_pasted(policy: Path) -> None:
    (one,) = json.loads(run("show", "actors", policy, "--json").stdout)["actors"]
    accounts = json.loads(run("show", "accounts", policy, one["actor"], "--json").stdout)["accounts"]
    refused = json.loads(run("show", "refused", policy, "--json").stdout)["refused"]
    assert [each["per"] for each in refused] == ["actor"]
    shown = [one["actor"], accounts[0]["account"], accounts[-1]["hash"], refused[0]["key"]]
    for text in (*(form for each in shown for form in hash_forms(each)), "bot7", "account=bot7"):
        does = tried(policy, "clear", text)["does"]
        assert does[0] == f"frees 60 accounts of actor {one['actor'][:8]}", text
        words = f"refused actor {one['actor'][:8]} {REFUSED[0]} times within the last hour, "
        assert does[2].startswith(f"`one actor` {words}")
        assert does[2].endswith(" in the last minute, here")


def test_an_act_by_a_pasted_hash_is_the_act_by_the_value(policy: Path, actor: Actor) -> None:
    keys = [key_of(actor, "bot7"), key_of(actor, "bot8")]
    for text in (f"{keys[0]:016x}"[:8], "bot8"):
        result = run("act", "exempt", policy, text)
        assert result.exit_code == 0, result.output
        assert "leaves actor" in result.stderr
    acts = ActFile(policy.with_name("table")).read()
    assert [(act.kind, act.accounts) for act in acts] == [("exempt", [key]) for key in keys]
    refused_by(run("act", "exempt", policy, "bot7"), 3, "act 1 exempts account")


def test_an_act_on_an_actor_names_its_accounts(policy: Path, actor: Actor) -> None:
    (one,) = json.loads(run("show", "actors", policy, "--json").stdout)["actors"]
    assert run("act", "clear", policy, one["actor"][:8]).exit_code == 0
    (act,) = ActFile(policy.with_name("table")).read()
    assert set(act.accounts) == {key_of(actor, bot) for bot in BOTS}
    refused_by(run("act", "exempt", policy, one["actor"]), 2, "is an actor", "ratelimit act clear")


def test_an_act_for_what_does_not_exist_is_an_error(policy: Path) -> None:
    for command in ("exempt", "clear", "confirm"):
        refused_by(
            run("act", command, policy, "no-such-account"),
            3,
            "nothing was done",
            "is not known here",
            "--yes",
        )
    refused_by(run("act", "merge", policy, "bot7", "nobody"), 3, "is not known here")
    for text in ("00000000", "hash:00000000", "actor=00000000"):
        refused_by(run("act", "clear", policy, text, "--yes"), 3, "00000000")
    refused_by(
        run("act", "declare", "organisation", policy, "Acme", "--payment", "nocard"), 3, "is not known here"
    )
    assert ActFile(policy.with_name("table")).read() == []
    assert run("act", "exempt", policy, "tomorrows-customer", "--yes").exit_code == 0
    assert len(ActFile(policy.with_name("table")).read()) == 1


def test_an_act_that_would_change_nothing_asks(
    policy: Path, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused_by(run("act", "clear", policy, "person1"), 3, "in no actor")
    refused_by(run("act", "exempt", policy, "person1"), 3, "in no actor")
    refused_by(run("act", "split", policy, "person1", "bot7"), 3, "no two of these")
    refused_by(run("act", "merge", policy, "bot7", "bot8"), 3, "one actor already")
    refused_by(run("act", "confirm", policy, "bot7"), 3, "certain already")
    monkeypatch.setattr("ratelimit.cli.acts._is_person", lambda: True)
    assert run("act", "clear", policy, "person1", stdin=b"n\n").exit_code == 3
    assert ActFile(policy.with_name("table")).read() == []
    assert run("act", "clear", policy, "person1", stdin=b"y\n").exit_code == 0
    assert len(ActFile(policy.with_name("table")).read()) == 1


def test_a_dry_run_does_nothing(policy: Path) -> None:
    for command in (
        ("exempt", policy, "bot7"),
        ("clear", policy, "bot7"),
        ("merge", policy, "person1", "person2"),
        ("split", policy, "bot7", "bot8"),
        ("declare", "organisation", policy, "Acme", "--payment", "stolen1"),
    ):
        result = run("act", *command, "--dry-run")
        assert result.exit_code == 0, result.output
        assert result.stdout
    assert ActFile(policy.with_name("table")).read() == []
    assert run("act", "exempt", policy, "bot7").exit_code == 0
    assert "account" in run("act", "undo", policy, "1", "--dry-run").stdout
    assert len(ActFile(policy.with_name("table")).read()) == 1


def test_an_actor_or_an_address_is_stopped_by_its_name(policy: Path, actor: Actor) -> None:
    (one,) = json.loads(run("show", "actors", policy, "--json").stdout)["actors"]
    does = tried(policy, "stop", one["actor"][:8])["does"]
    assert does[0].startswith(f"refuses every request of 60 accounts of actor {one['actor'][:8]}")
    assert tried(policy, "stop", "192.0.2.1")["does"][0].startswith("refuses every request of ip ")
    assert tried(policy, "stop", "network=192.0.2.0")["does"][0].startswith(
        "refuses every request of network "
    )
    assert run("act", "stop", policy, one["actor"]).exit_code == 0
    (act,) = ActFile(policy.with_name("table")).read()
    assert (act.identity, set(act.accounts)) == ("account", {key_of(actor, bot) for bot in BOTS})
    follower = ActFollower(actor.limiter.store.place)
    follower.look(actor.limiter)
    follower.resign()
    at_s = (END_NS - START_NS) / 1e9
    allowed = [actor.decide(Request(at_s, name, "", "", "192.0.2.2")).allowed for name in ("bot7", "person1")]
    assert allowed == [False, True]


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[tuple[Path, Callable[..., bool]]]:
    """Return a policy without correlation, and what decides a request under it."""
    path = write_policy(tmp_path, POLICY.format(tmp_path / "table"))
    limiter = Limiter(path)

    def decide(account: str, address: str = "192.0.2.7", card: str = "card-9") -> bool:
        headers = {"x-api-key": account, "x-payment": card}
        return limiter.decide(path="/x", headers=headers, client=address).allowed

    yield path, decide
    limiter.close()


def test_an_address_and_a_payment_method_are_named_like_accounts(
    plain: tuple[Path, Callable[..., bool]],
) -> None:
    path, decide = plain
    for number in range(9):
        decide(f"acct-{number}", "198.51.100.1")
    refused = {
        each["limit"]: each for each in json.loads(run("show", "refused", path, "--json").stdout)["refused"]
    }
    for text, limit in (("198.51.100.1", "address"), (refused["address"]["hash"], "address")):
        does = tried(path, "exempt", text)["does"]
        assert does[0] == f"no limit applies to requests of ip {refused['address']['hash']}", text
        assert any(f"`{limit}` refused it" in each for each in does)
    assert tried(path, "exempt", "card-9")["does"][0].startswith("no limit applies to requests of payment ")
    assert run("act", "exempt", path, "198.51.100.1").exit_code == 0
    (act,) = ActFile(path.with_name("table")).read()
    assert (act.kind, act.identity) == ("exempt-limits", "ip")


def test_a_name_that_fits_several_callers_is_an_error(plain: tuple[Path, Callable[..., bool]]) -> None:
    path, decide = plain
    for _ in range(3):
        decide("acct-17")
    shown = json.loads(run("show", "refused", path, "--json").stdout)["refused"][0]["hash"]
    decide(shown, "192.0.2.9", "card-1")  # an account that is called like the hash of another
    refused_by(run("act", "exempt", path, shown), 3, "fits 2 callers")
    assert tried(path, "exempt", f"account={shown}")["doubts"] == []
    decide("twin", "192.0.2.9", "twin")
    refused_by(run("act", "exempt", path, "twin"), 3, "fits 2 callers", "payment=twin")
    assert "payment" in tried(path, "exempt", "payment=twin")["does"][0]


def test_a_network_is_named_by_any_address_in_it_and_its_width(tmp_path: Path) -> None:
    """Hazard: a network that somebody types is taken for an account of that name."""
    text = POLICY.format(tmp_path / "table").replace(
        "[[limit]]", 'network = { from = "client/24/48" }\n[[limit]]', 1
    )
    path = write_policy(tmp_path, text + '[[limit]]\nname = "net"\nper = "network"\nrate = "9/hour"\n')
    limiter = Limiter(path)
    try:
        limiter.decide(path="/", headers={"x-api-key": "a"}, client="198.51.100.3")
        for written in (
            "198.51.100.0/24",
            "198.51.100.77/24",
            "network=198.51.100.9/24",
            "network=198.51.100.9",
        ):
            (one,) = json.loads(run("who", path, written, "--json").stdout)["callers"]
            assert (one["identity"], one["known"]) == ("network", True), written
        refused_by(run("who", path, "198.51.100.0/22"), 3, "as wide as")
    finally:
        limiter.close()


def test_a_label_of_a_screen_is_one_caller_however_it_is_pasted(tmp_path: Path) -> None:
    """Hazard: the words of a label are taken for other callers, which have all of their limits left."""
    path = write_policy(tmp_path, POLICY.format(tmp_path / "table"))
    limiter = Limiter(path)
    try:
        for _ in range(3):
            limiter.decide(path="/", headers={"x-api-key": "abc"}, client="198.51.100.3")
        (refused,) = json.loads(run("show", "refused", path, "--json").stdout)["refused"]
        short = str(refused["key"])[:8]
        for words in ((f"account:{short}",), ("account", short), (short.upper(),), (f"account={short}",)):
            (one,) = json.loads(run("who", path, *words, "--json").stdout)["callers"]
            assert (one["identity"], one["known"]) == ("account", True), words
        asked = f"GET / ip=198.51.100.3 account=hash:{short}"
        refused_by(run("explain", path, "-r", asked), 3, "is a hash", "ratelimit who")
        asked = "GET / ip=198.51.100.3 account=abcdef12"
        assert "looks like a hash" in run("explain", path, "-r", asked).stderr
        asked = "GET / ip=198.51.100.3 account=12345678"
        assert "looks like a hash" not in run("explain", path, "-r", asked).stderr
    finally:
        limiter.close()


def test_an_act_that_decides_stands_before_what_limits_have_left(tmp_path: Path) -> None:
    """Hazard: a stopped caller looks as if it had room, and an exempt one as if it were refused."""
    path = write_policy(tmp_path, POLICY.format(tmp_path / "table"))
    limiter, follower = Limiter(path), None
    try:
        follower = ActFollower(limiter.store.place)
        for _ in range(3):
            limiter.decide(path="/", headers={"x-api-key": "abc"}, client="198.51.100.3")
        assert "in force. Without it" not in run("who", path, "abc").output
        for command, words in (
            ("stop", "Every request of it is refused"),
            ("exempt", "No limit applies to it"),
        ):
            more = () if command == "stop" else ("--from", "limits")
            run("act", command, path, "abc", *more, "--for", "1h", "--yes")
            follower.look(limiter)
            assert words in " ".join(run("who", path, "abc").output.split())
    finally:
        if follower is not None:
            follower.resign()
        limiter.close()


def test_what_refuses_an_account_as_something_else_is_named_where_an_act_would_not_help() -> None:
    """Hazard: `exempt` of a customer whose card is at its limit said that nothing binds it, and no more."""
    whole = Refused("web-1", "one card", "payment", 5, 7, 0, 0, 60)
    told = HostsReport(
        [
            whole,
            replace(whole, host="web-2", refused=3),
            replace(whole, limit="trial", in_shadow=True),
            replace(whole, limit="requests", per="account", hash=1),
            replace(whole, limit="one actor", per="cluster", hash=2),
            replace(whole, limit="deny list", per="ip", act="3-7cc8"),
        ]
    )
    assert told.of("account", [1]) == {"requests": 7}
    assert told.beside("account", [1]) == {("one card", "payment"): 10}


def test_an_act_says_how_it_is_undone(policy: Path) -> None:
    made = run("act", "stop", policy, "acct-17", "--yes", "--for", "1h")
    assert made.exit_code == 0
    act = ActFile(policy.with_name("table")).read()[0].label
    assert f"policy.toml {act}` takes it back" in made.stderr
    assert "takes it back" not in run("act", "undo", policy, act).stderr
