"""Young clusters: all accounts are new, and for a week there is a budget for every two payment methods."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest

from ratelimit.core.clusters.cluster_index import YOUNG, cluster_of
from ratelimit.core.clusters.overrides import Overrides
from ratelimit.correlation import Correlator
from ratelimit.correlation import correlator as module
from ratelimit.correlation.classification import Verdict
from ratelimit.correlation.memory import transplant
from ratelimit.correlation.overview import overviews_of
from tests.correlation.sights import (
    DAY_S,
    HOUR_S,
    NS,
    START_S,
    campaign,
    correlator,
    crowd,
    exit_of,
    key_of,
    later,
    rebuild,
    row,
    show,
    together,
    verdicts,
)

HOURS = 16
KNOWN_S = START_S + HOURS * HOUR_S
WEEK_S = 7 * DAY_S
BAD = [f"bad-{number}" for number in range(100)]


def found(old: int = 0, **changed: int) -> Correlator:
    """Return a correlator that has just found a hundred accounts on twenty cards, so many of them old."""
    one = correlator(**changed)
    one.core.columns.tells_young = True
    rng = random.Random(4)
    people, bad = crowd(200, rng, hours=HOURS), campaign(100, rng, hours=HOURS)
    for sight in bad:
        if int(sight.account.split("-")[1]) < old:
            sight.row[9] = START_S - 400 * DAY_S
    show(one, together(people, bad), rebuilds=False)
    rebuild(one, KNOWN_S)
    assert len(one.kept) == 1
    return one


def label_of(one: Correlator) -> int:
    (label,) = one.kept
    return label


def grown_up_s(one: Correlator) -> int:
    """Return until when the cluster is young: a week after the last request before it was found."""
    until_s = one.core.young_until_s(label_of(one))
    assert KNOWN_S + WEEK_S - 600 < until_s <= KNOWN_S + WEEK_S
    return until_s


def budgets(one: Correlator) -> dict[int, set[str]]:
    """Return the cards of each budget; accounts that have none are left out."""
    cards: dict[int, set[str]] = defaultdict(set)
    for number, name in enumerate(BAD):
        budget = one.core.budget_identity(key_of(name))
        if budget is not None:
            cards[budget].add(f"bad card {number // 5}")
    return cards


def again(one: Correlator, at_s: int) -> None:
    """Show the same requests once more at a later time, and rebuild when that is due."""
    rng = random.Random(5)
    bad = campaign(100, rng, hours=2)
    show(one, later(together(crowd(200, rng, hours=2), bad), at_s - START_S), rebuilds=False)


def test_a_cluster_of_new_accounts_has_a_budget_for_every_two_payment_methods() -> None:
    one = found()
    assert grown_up_s(one)
    cards = budgets(one)
    assert len(cards) == 10
    assert {len(each) for each in cards.values()} == {2}
    assert set().union(*cards.values()) == {f"bad card {number}" for number in range(20)}
    assert {cluster_of(budget) for budget in cards} == {one.identities[label_of(one)]}


@pytest.mark.parametrize(("methods", "count"), [(1, 20), (3, 7), (100, 1)])
def test_so_many_methods_share_a_budget(monkeypatch: pytest.MonkeyPatch, methods: int, count: int) -> None:
    monkeypatch.setattr(module, "METHODS_A_BUDGET", methods)
    assert len(budgets(found())) == count


@pytest.mark.parametrize(("old", "is_young"), [(0, True), (5, True), (8, False)])
def test_a_cluster_with_old_accounts_is_not_young(old: int, is_young: bool) -> None:
    one = found(old)
    assert set(verdicts(one).values()) >= {Verdict.CERTAIN}
    assert bool(one.core.young_until_s(label_of(one))) == is_young
    assert bool(budgets(one)) == is_young


def test_a_cluster_that_was_not_young_does_not_become_so() -> None:
    one = found(8)
    for number in range(8):
        one.core.set_inferred(key_of(f"bad-{number}"), 0)
    one.core.become_certain(label_of(one), True)
    assert not one.core.young_until_s(label_of(one))


def test_a_week_later_it_has_one_budget_under_the_same_identity() -> None:
    one = found()
    identity = one.identities[label_of(one)]
    end_s = grown_up_s(one)
    again(one, end_s - 2 * HOUR_S - 60)
    rebuild(one, end_s - 40)
    assert len(budgets(one)) == 10
    # Though nothing is new to it, a rebuild is due then.
    assert not one.is_due((end_s - 1) * NS)
    assert one.is_due((end_s + 20) * NS)
    one.observe(row("honest-1", address="20.0.1.7", payment="card of honest-1"), end_s * NS)
    rebuild(one, end_s + 20)
    assert budgets(one) == {}
    assert one.core.cluster_identity(key_of(BAD[0])) == identity
    assert one.core.verdict_of(key_of(BAD[0])) == Verdict.CERTAIN
    again(one, KNOWN_S + WEEK_S + DAY_S)
    rebuild(one, KNOWN_S + WEEK_S + DAY_S + 3 * HOUR_S)
    assert budgets(one) == {}


def test_a_cluster_that_is_confirmed_has_one_budget() -> None:
    one = found()
    one.know(Overrides(confirm={key_of(BAD[3]): 0}))
    assert budgets(one) == {}
    assert not one.core.young_until_s(label_of(one))
    one.know(None)
    assert len(budgets(one)) == 10


def test_a_new_payment_method_has_the_next_number_and_keeps_it() -> None:
    one = found()
    before = budgets(one)
    label = label_of(one)
    for number in range(6):
        for hop in range(4):
            seen = row(
                f"late-{number}",
                address=exit_of(50 * number + hop),
                payment=f"late card {number // 2}",
                created_s=KNOWN_S,
            )
            one.observe(seen, (KNOWN_S + 60 * hop) * NS)
    again(one, KNOWN_S)
    rebuild(one, KNOWN_S + 3 * HOUR_S)
    assert budgets(one) == before
    assert label_of(one) == label
    late = [one.core.budget_identity(key_of(f"late-{number}")) for number in range(6)]
    assert None not in late
    assert len(set(late) - before.keys()) == 2


def test_rows_name_the_budget_only_where_limits_ask_for_it() -> None:
    one = found()
    identity = one.identities[label_of(one)]
    one.core.columns.tells_young = False
    assert not one.core.young_until_s(label_of(one))
    account = row(BAD[0], address=exit_of(0), payment="bad card 0", created_s=START_S) + [-1] * 4
    one.core.fill(account, 13)
    assert account[10:] == [-1, identity, -1, identity]
    one.core.columns.tells_young = True
    one.core.fill(account, 13)
    budget = one.core.budget_identity(key_of(BAD[0]))
    assert budget is not None
    assert budget & YOUNG
    assert account[10:] == [budget, identity, -1, -1]


def test_what_a_member_had_before_is_charged_to_its_budget_then_to_its_cluster() -> None:
    one = found()
    one.core.debts()
    label = label_of(one)
    newcomer = row("late", address=exit_of(3), payment="late card", created_s=KNOWN_S)
    for second in range(3):
        one.observe(newcomer, (KNOWN_S + second) * NS)
        one.core.admit(newcomer)
    joining = row("late", address=exit_of(3), payment="bad card 3", created_s=KNOWN_S)
    one.observe(joining, (KNOWN_S + 9) * NS)
    budget = one.core.budget_identity(key_of("late"))
    assert one.core.debts() == [(budget, 3)]
    # Charged once: neither its later requests nor the end of its youth bring the same again.
    one.observe(joining, (KNOWN_S + 10) * NS)
    one.observe(joining, (KNOWN_S + WEEK_S) * NS)
    assert one.core.debts() == []
    assert not one.core.young_until_s(label)
    stranger = row("later", address=exit_of(3), payment="other card", created_s=KNOWN_S + WEEK_S)
    one.observe(stranger, (KNOWN_S + WEEK_S + 1) * NS)
    one.core.admit(stranger)
    joining = row("later", address=exit_of(3), payment="bad card 3", created_s=KNOWN_S + WEEK_S)
    one.observe(joining, (KNOWN_S + WEEK_S + 2) * NS)
    assert one.core.debts() == [(one.identities[label], 1)]


def test_budgets_outlive_a_change_of_settings_and_a_restart() -> None:
    one = found()
    before = budgets(one)
    other = correlator()
    other.core.columns.tells_young = True
    for _ in transplant(one, other):
        pass
    assert budgets(other) == before
    assert grown_up_s(other) == grown_up_s(one)


def test_the_end_of_youth_is_not_forgotten_by_a_restart() -> None:
    one, other = found(), correlator()
    other.core.columns.tells_young = True
    for _ in transplant(one, other):
        pass
    assert not other.is_due((KNOWN_S + 60) * NS)
    assert other.is_due((KNOWN_S + WEEK_S) * NS)


def test_an_overview_says_until_when_and_how_it_is_declared() -> None:
    one = found()
    (overview,) = overviews_of(one)
    assert overview.young_until_s == grown_up_s(one)
    assert "UTC it has one budget for every two payment methods, then one for all" in overview.words
    assert 'organisations."NAME" = { payment = ["PAYMENT METHOD"] }' in overview.words
    (overview,) = overviews_of(found(8))
    assert overview.young_until_s == 0
    assert "young actor" not in overview.words
