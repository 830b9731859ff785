"""Acts of payments beside those that hold: they take no place, and end no other act."""

from __future__ import annotations

from pathlib import Path

from ratelimit.clustering.amendment import amendment_of
from ratelimit.policy import Policy
from ratelimit.stores.acts.act import MOST_ACTS, MOST_IN_FORCE, Act, in_force, kept, read_acts

NOW = 1_800_000_000 * 10**9
DAY = 86_400 * 10**9
POLICY = """\
version = 1
[identities]
account = { from = "state:account" }
[[limit]]
name = "credit"
per = "account"
rate = "0/lifetime"
"""


def act(number: int, kind: str = "budget-back", account: int = 7) -> Act:
    return Act(
        number,
        kind,
        NOW + number,
        "me",
        "key",
        accounts=[account],
        identity="account",
        numbers={"credit": 5} if kind == "budget-back" else {},
        after={"credit": [1, 2, 3, 0]} if kind == "budget-back" else {},
        until_ns=NOW + DAY,
    )


def test_payments_of_thousands_of_customers_end_no_other_act() -> None:
    acts = [act(number, "stop") for number in range(1, MOST_IN_FORCE + 1)]
    for number in range(MOST_IN_FORCE + 1, 2_000):
        acts = kept([*acts, act(number, account=number)], NOW)
    assert len(acts) == MOST_ACTS
    held = in_force(acts, "key", NOW)
    assert sum(each.kind == "stop" for each in held) == MOST_IN_FORCE
    assert held[-1].number == 1_999  # which can be undone
    lines = [each.line() for each in acts]
    assert read_acts(lines) == acts
    assert max(map(len, lines)) < 400


def test_acts_that_hold_are_bounded_beside_payments() -> None:
    acts = [act(number, "stop" if number % 2 else "budget-back") for number in range(1, 1025)]
    held = in_force(kept(acts, NOW), "key", NOW)
    assert sum(each.kind == "stop" for each in held) == MOST_IN_FORCE


def test_payment_is_no_word_on_an_account_in_the_correlation(tmp_path: Path) -> None:
    """Hazard: where the principal is the account, a payment took the place of the operator's `confirm`."""
    path = tmp_path / "policy.toml"
    path.write_text(POLICY)
    compiled = Policy.load(path).compiled
    assert amendment_of(compiled, [act(1, "confirm"), act(2)]).declared.confirm == {7: 1}
