"""Rulings of operators on every screen: what a person ruled comes before what was found."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import pytest

from ratelimit.cli import acts
from ratelimit.correlation.classification import Verdict
from ratelimit.correlation.overview import Overview, apart
from ratelimit.inspection.actors.glance import in_order
from ratelimit.inspection.acts.acting import Confirmation
from ratelimit.inspection.acts.rulings import RULED, ruled_words
from ratelimit.inspection.formatting import ago
from ratelimit.stores.acts.act import Act
from ratelimit.worker.acts import ActFollower
from tests.cli.running import run
from tests.cli.test_actors import actor as actor
from tests.console.driving import reading
from tests.support.acting import BOTS, END_NS, Actor, caught
from tests.support.campaign import policy_text
from tests.support.time import stop_host

NS = 10**9
BY = r"\S+, \d+ s ago"


@pytest.fixture(autouse=True)
def unwaited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no command wait for hosts that do not look."""
    monkeypatch.setattr(acts, "confirmed", lambda deployment, act: Confirmation([], is_away=False))


def words(text: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", text)).split())


@pytest.mark.parametrize(
    ("command", "ruled", "of_actor"),
    [
        (["exempt", "--from", "actors"], "exempted by", False),
        (["exempt", "--from", "limits"], "exempted from all limits by", False),
        (["stop"], "stopped by", False),
        (["confirm"], "confirmed by", True),
        (["clear"], "cleared by", True),
    ],
)
@pytest.mark.parametrize("mode", ["enforce", "shadow"])
def test_what_an_act_rules_comes_first_on_every_screen(
    actor: Actor, tmp_path: Path, command: list[str], ruled: str, of_actor: bool, mode: str
) -> None:
    """Hazard: an exempted account is out of an actor "such as with a home"; a cleared one is certain."""
    policy = tmp_path / "policy.toml"
    policy.write_text(policy.read_text().replace('mode = "enforce"', f'mode = "{mode}"'))
    (name,) = actor.clusters(BOTS)
    word, *more = command
    made = run("act", word, policy, "bot7", *more, "--for", "2h", "--yes")
    if word == "confirm":  # all of it is certain already, so a person who insists says so
        assert made.exit_code == 0, made.output
    expected = re.compile(rf"{ruled} {BY}")

    who = words(run("who", policy, "bot7").stdout)
    assert re.match(rf"account [0-9a-f]+ ruled {ruled} {BY}", who), who
    assert expected.fullmatch(json.loads(run("who", policy, "bot7", "--json").stdout)["ruled"])
    shown = {"who": who, "actors": words(run("show", "actors", policy).stdout)}
    shown["took"] = words(run("show", "took", policy, "--of", f"actor={name:016x}").stdout)
    with reading(policy) as reader:
        shown["person page"] = words(reader.find("bot7").text)
        for path in ("/", "/actors", f"/actor?id={name:016x}"):
            shown[path] = words(reader.get(path).text)
    assert expected.search(shown["person page"])
    (told,) = json.loads(run("show", "actors", policy, "--json").stdout)["actors"]
    for screen in ("actors", "took", "/", "/actors", f"/actor?id={name:016x}"):
        assert bool(expected.search(shown[screen])) is of_actor, (screen, shown[screen])
        if of_actor:  # no verdict goes before it
            before = re.split(f"(?i:{ruled}) ", shown[screen])[0]
            assert "certain" not in before.rpartition(f"{name:016x}"[:8])[2], screen
    assert bool(told["ruled"]) is of_actor
    for screen, said in shown.items():
        assert "Not certain" not in said, screen
        assert not re.search(r"by the operator: (exempt|confirm|clear)\b", said), screen
    if word == "exempt" and "actors" in command:
        assert "1 of its accounts is exempted by the operator." in told["words"]
        assert "with a home of their own" not in told["words"]


@pytest.mark.parametrize("ends_by", ["undo", "time"])
def test_an_account_is_in_its_actor_again_as_soon_as_its_exemption_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends_by: str
) -> None:
    """Hazard: until the correlator saves again, the evidence says that the account has a home."""
    policy = tmp_path / "policy.toml"
    policy.write_text(policy_text(store=f'memory = "{tmp_path / "table"}"\nkeys = 5000'))
    stop_host(monkeypatch, END_NS)
    found = caught(policy)

    def actor_now() -> tuple[int, str]:
        (told,) = json.loads(run("show", "actors", policy, "--json").stdout)["actors"]
        return told["accounts"], told["words"]

    try:
        assert run("act", "exempt", policy, "bot7", "--for", "10m", "--yes").exit_code == 0
        ActFollower(found.limiter.store.place).look(found.limiter)
        found.rest_until(END_NS + 120 * NS)
        assert found.limiter.clustering is not None
        found.limiter.clustering.resign(END_NS + 120 * NS)  # which saves
        stop_host(monkeypatch, END_NS + 121 * NS)
        assert actor_now()[0] == 59
        if ends_by == "undo":
            assert run("act", "undo", policy, "1").exit_code == 0
        else:
            stop_host(monkeypatch, END_NS + 601 * NS)
        accounts, said = actor_now()
        assert (accounts, "with a home of their own" in said) == (60, False), said
        assert "are in the actor" not in said
    finally:
        found.limiter.close()


@pytest.mark.parametrize("named", ["bot7", ""])
def test_a_later_clear_goes_before_a_confirmation_whichever_accounts_it_names(
    actor: Actor, tmp_path: Path, named: str
) -> None:
    """Hazard: an account was exempted between the two, and the actor is still said to be certain."""
    policy = tmp_path / "policy.toml"
    (name,) = actor.clusters(BOTS)
    shown = f"{name:016x}"[:8]
    for command in (["confirm", shown], ["exempt", "bot8"], ["clear", shown]):
        made = run("act", command[0], policy, command[1], "--yes")
        assert made.exit_code == 0, made.output
    who = words(run("who", policy, named or shown).stdout)
    assert re.search(rf"ruled cleared by {BY}", who), who
    assert "Cleared by the operator: no limit per actor binds its accounts" in who
    assert "binds certain" not in who
    (told,) = json.loads(run("show", "actors", policy, "--json").stdout)["actors"]
    assert re.match("cleared by ", told["ruled"])


@pytest.mark.parametrize("ruling", sorted(RULED))
def test_a_ruling_is_of_the_latest_act_that_rules_it_and_else_of_the_operator(ruling: str) -> None:
    kinds = {
        "allowed": "exempt-limits", "denied": "stop", "exempt": "exempt", "confirm": "confirm",
        "clear": "clear", "together": "merge", "apart": "split",
    }  # fmt: skip
    log = [
        Act(1, kinds[ruling], 0, "ann", "k", [7, 8]),
        Act(2, kinds[ruling], 60 * NS, "ben", "k", [7]),
        Act(3, kinds[ruling], 90 * NS, "cem", "k", [9]),
    ]
    assert ruled_words(ruling, log, {7}, 300 * NS) == f"{RULED[ruling]} by ben, 4 min ago"
    assert ruled_words(ruling, log, {8}, 300 * NS) == f"{RULED[ruling]} by ann, 5 min ago"
    assert ruled_words(ruling, log, {6}, 300 * NS) == f"{RULED[ruling]} by the operator"
    assert ruled_words(None, log, {7}, 300 * NS) == ""


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-1, "0 s ago"),
        (59, "59 s ago"),
        (119, "1 min ago"),
        (7200, "2 h ago"),
        (86_400, "1 day ago"),
        (200_000, "2 days ago"),
    ],
)
def test_how_long_ago_is_one_whole_number(seconds: int, said: str) -> None:
    assert ago(seconds * NS) == said


def overview(identity: int, verdict: Verdict, exits: float, members: int) -> Overview:
    found = tuple((key, verdict) for key in range(members))
    return Overview(identity, verdict, None, "", "", 0, {"exits": exits}, found)


def test_a_campaign_stands_before_a_school_of_the_same_verdict() -> None:
    """Hazard: the largest was first, which a school of two hundred on three addresses is."""
    school = overview(1, Verdict.LIKELY, 3.0, 200)
    campaign = overview(2, Verdict.LIKELY, 48.0, 60)
    certain = overview(3, Verdict.CERTAIN, 30.0, 20)
    assert in_order([school, campaign, certain]) == [certain, campaign, school]


def test_what_tells_actors_apart_is_on_every_screen(actor: Actor, tmp_path: Path) -> None:
    """Hazard: a campaign and a school look alike: so many accounts, so many payment methods."""
    policy = tmp_path / "policy.toml"
    (name,) = actor.clusters(BOTS)
    (told,) = json.loads(run("show", "actors", policy, "--json").stdout)["actors"]
    assert (told["accounts_an_address"], told["at_home"], told["new"]) == (1.5, 0, 60)
    line = "60 accounts on 6 payment methods at 40 addresses; none at home, all new"
    for screen in (run("show", "actors", policy), run("who", policy, "bot7")):
        assert line in words(screen.stdout)
    with reading(policy) as reader:
        assert line in words(reader.get("/").text)
        assert line in words(reader.get(f"/actor?id={name:016x}").text)
        assert "accounts per address" in words(reader.get("/actors").text)


def test_a_number_set_just_now_says_so_and_what_was_used_before(actor: Actor, tmp_path: Path) -> None:
    """Hazard: 24 used of 2 looks like a fault, right after somebody set the 2."""
    policy = tmp_path / "policy.toml"
    policy.write_text(
        policy.read_text() + '[[limit]]\nname = "own"\nper = "account"\nrate = "50/day"\n'
        'algorithm = "fixed-window"\n'
    )
    assert run("act", "budget", "set", policy, "bot7", "own=2", "--for", "2h", "--yes").exit_code == 0
    said = r"own: \S+ set 2 a day \d+ s ago \(act 1\); what was used before counts, so more may be used"
    budget = run("show", "budget", policy, "bot7")
    assert re.search(said, words(budget.stdout + budget.stderr)), budget.stderr
    person = run("who", policy, "bot7")
    assert re.search(said, words(person.stdout + person.stderr)), person.stderr
    with reading(policy) as reader:
        assert re.search(said, words(reader.find("bot7").text))
    limits = json.loads(run("show", "budget", policy, "bot7", "--json").stdout)["limits"]
    (own,) = (each for each in limits if each["limit"] == "own")
    assert own["act"] == "1"
    assert own["set_at"] is not None


def test_asked_is_every_request_and_took_what_limits_counted(actor: Actor, tmp_path: Path) -> None:
    """Hazard: one screen says "took" of all requests, and another of those allowed."""
    policy = tmp_path / "policy.toml"
    (name,) = actor.clusters(BOTS)
    who = words(run("who", policy, "bot7").stdout)
    assert "asked all its accounts: 1,500 requests in" in who
    assert "took" not in who
    took = words(run("show", "took", policy, "--of", f"actor={name:016x}").stdout)
    assert "all its accounts asked: 1,500 requests in" in took
    with reading(policy) as reader:
        page = words(reader.get(f"/actor?id={name:016x}").text)
        assert "asked 1,500 requests in" in page
        person = words(reader.find("bot7").text)
        assert re.search(r"asked \d+ requests in", person)
        assert not re.search(r"took [\d,]+ requests", page + person)


def test_an_account_that_was_exempted_before_the_last_rebuild_is_not_said_to_have_a_home() -> None:
    """Hazard: the next rebuild takes the account out of its actor, and nothing says that a person did."""
    assert apart(60, 60, 0, may_be_exempt=False) == []
    assert apart(60, 59, 1, may_be_exempt=False) == ["1 of its accounts is exempted by the operator."]
    (homes,) = apart(60, 57, 0, may_be_exempt=False)
    assert homes.endswith("3 are not: such as those with a home of their own.")
    (ruled,) = apart(60, 59, 0, may_be_exempt=True)
    assert "1 is not: those that the operator exempts, and such as have a home" in ruled
