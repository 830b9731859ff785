"""A budget per payment method, asked for by an account: it is the payer's, which other accounts share."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.running import run
from tests.console.driving import reading
from tests.support.acting import START_NS, Actor
from tests.support.campaign import Request, policy_text

MORE = """
[[limit]]
name = "spend"
match = "/spend"
per = "payment"
rate = "9/hour"
[[limit]]
name = "own"
match = "/own"
per = "account"
rate = "7/hour"
"""


@pytest.fixture
def policy(tmp_path: Path) -> Iterator[Path]:
    """Yield a policy whose correlator has met three accounts on one card, and one on two of its own."""
    path = tmp_path / "policy.toml"
    path.write_text(policy_text(store=f'memory = "{tmp_path / "table"}"\nkeys = 5000', more=MORE))
    school = Actor(path)
    for at in range(40):
        school.live([Request(60.0 + at, f"pupil{at % 3}", "card-1", "", "203.0.113.7")])
        school.live([Request(60.5 + at, "rich", f"card-{2 + at % 2}", "", "203.0.113.8")])
        school.live([Request(60.7 + at, "alone", "card-4", "", "203.0.113.9")])
    school.rest_until(START_NS + 300 * 10**9)
    assert school.limiter.clustering is not None
    school.limiter.clustering.resign(school.clock.now_ns())  # what it found is saved
    yield path
    school.limiter.close()


def act(policy: Path, *words: object) -> tuple[int, str]:
    result = run("act", "budget", words[0], policy, *words[1:])
    return result.exit_code, " ".join(result.output.split())


def test_an_accounts_budget_is_its_payers_which_the_preview_says(policy: Path) -> None:
    """Hazard: "no limit `spend` counts by account", of a customer whose budget is its card's."""
    card = json.loads(run("who", policy, "payment=card-1", "--json").stdout)["callers"][0]
    label = f"payment {card['hash'][:8]}"
    code, said = act(policy, "set", "pupil1", "spend=20", "--dry-run")
    assert code == 0, said
    assert f"counts for {label}, which 3 accounts share" in said
    assert f"spend: {label} has 20 an hour in place of 9 an hour" in said
    assert "this needs --yes: it changes 2 other accounts beside account " in said
    code, said = act(policy, "set", "pupil1", "spend=20")
    assert (code, "it changes 2 other accounts beside account " in said) == (3, True)
    assert json.loads(run("show", "acts", policy, "--json").stdout)["acts"] == []
    act(policy, "set", "pupil1", "spend=20", "--yes")
    (made,) = json.loads(run("show", "acts", policy, "--json").stdout)["acts"]
    assert (made["identity"], made["accounts"]) == ("payment", [card["hash"]])


def test_a_card_that_nobody_shares_is_changed_without_a_question(policy: Path) -> None:
    code, said = act(policy, "set", "alone", "spend=20", "--dry-run")
    assert (code, "which one account has" in said, "needs --yes" in said) == (0, True, False)


def test_of_several_cards_a_person_says_which(policy: Path) -> None:
    code, said = act(policy, "set", "rich", "spend=20", "--dry-run")
    assert (code, "was lately seen with 2" in said) == (3, True)
    assert said.count("payment=hash:") == 2
    code, said = act(policy, "set", "stranger", "spend=20", "--dry-run")
    assert (code, "is not known" in said and "Name it: payment=VALUE" in said) == (3, True)


def test_limits_of_the_account_and_of_its_payer_are_an_act_each(policy: Path) -> None:
    shown = run("act", "budget", "set", policy, "pupil1", "own=8", "spend=20", "--dry-run").output
    assert "own: account " in shown
    assert "spend: payment " in shown
    code, _ = act(policy, "set", "pupil1", "own=8", "spend=20")
    assert (code, json.loads(run("show", "acts", policy, "--json").stdout)["acts"]) == (
        3,
        [],
    )  # nor the first
    once = run("act", "budget", "add", policy, "pupil1", "own=8", "spend=2", "--once", "x", "--yes")
    assert (once.exit_code, "are two calls" in once.output) == (2, True)


def test_show_budget_has_the_payers_beside_the_accounts(policy: Path) -> None:
    shown = " ".join(run("show", "budget", policy, "pupil1").output.split())
    assert "own 7 an hour" in shown
    assert "which 3 accounts share" in shown
    assert "spend 9 an hour" in shown
    (payer,) = json.loads(run("show", "budget", policy, "pupil1", "--json").stdout)["payers"]
    assert (payer["identity"], payer["accounts"], payer["limits"][0]["limit"]) == ("payment", 3, "spend")


def test_the_console_finds_the_same_payer_and_asks(policy: Path) -> None:
    with reading(policy) as pages:
        page = pages.find("pupil1")
        (changing,) = [each for each in page.forms if ("numbers", "") in each.fields]
        preview = pages.send(changing, kind="budget set", numbers="spend=20")
        assert "which 3 accounts share" in preview.text
        assert "it changes 2 other accounts beside account " in preview.text
