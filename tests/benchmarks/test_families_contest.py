"""Families played to contenders: what is measured, what is said of it, and the batch models' way in.

In one file, since all of it reads the results of the same few worlds, which take seconds to play.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.correlation import kinlimit
from benchmarks.correlation.baselines import PerAccount, TrueLabels
from benchmarks.correlation.contender import NONE, Outcome
from benchmarks.correlation.families import goals, price, tables
from benchmarks.correlation.families.__main__ import main
from benchmarks.correlation.families.batch import CERTAIN, LIKELY, Batch, Columns, columns, verdicts
from benchmarks.correlation.families.catalogue import NAMED
from benchmarks.correlation.families.contest import contest, play
from benchmarks.correlation.families.folds import leave_out
from benchmarks.correlation.families.measure import Chase, Crowd, Result, measure
from benchmarks.correlation.families.steadiness import steadiness, variants
from benchmarks.correlation.families.world import Size, World
from benchmarks.correlation.numbers import HOUR_NS, START_NS

TINY = Size(accounts=250, days=2.0, lead_h=12.0, scale=0.2)


@pytest.fixture(scope="module")
def base() -> World:
    """The base campaign, five hundred accounts of it."""
    return NAMED["base"].world(1, TINY)


def oracle(w: Columns, time_s: float) -> list[tuple[str, np.ndarray]]:
    """Judge as the truth is."""
    return [("certain", np.flatnonzero(w["actor"] == 1))]


def timid(w: Columns, time_s: float) -> list[tuple[str, np.ndarray]]:
    """Say of the guilty that they are likely."""
    return [("likely", np.flatnonzero(w["actor"] == 1)), ("none", np.flatnonzero(w["actor"] == 0))]


def hasty(w: Columns, time_s: float) -> list[tuple[str, np.ndarray]]:
    """Say of all that they are certainly one."""
    return [("certain", np.arange(len(w["card"])))]


def test_columns_are_what_a_batch_model_takes(base: World) -> None:
    w = columns(base.trace)
    assert (np.diff(w["t"]) >= 0).all()
    assert {len(w[name]) for name in ("t", "acct", "unit", "net", "block", "client", "length")} == {
        len(base.trace)
    }
    assert {len(w[name]) for name in ("card", "first", "actor", "cls")} == {base.trace.accounts}
    # One address is in one network, and that in one block; numbers are small enough to be packed.
    for small, large in (("unit", "net"), ("net", "block")):
        pairs = np.unique(np.stack([w[small], w[large]]), axis=1)
        assert len(np.unique(pairs[0])) == len(pairs[0])
    assert w["unit"].max() < 1 << 21
    assert (w["first"][w["acct"]] < w["t"]).all()
    assert (w["actor"] > 0).sum() == base.trace.truth.campaign.tolist().count(0)


def test_accounts_without_a_card_pay_each_for_itself(base: World) -> None:
    trace = replace(
        base.trace, payment=np.where(base.trace.account % 2, base.trace.payment, 0).astype(np.uint32)
    )
    card = columns(trace)["card"]
    without = np.unique(trace.account[trace.payment == 0])
    assert len(np.unique(card[without])) == len(without)
    assert not np.isin(card[without], np.unique(trace.payment)).any()


def test_verdicts_are_read_whatever_way_a_model_says_them() -> None:
    card = np.array([1, 1, 2, 2, 3])
    plain = [("likely", np.array([0, 2])), ("certain", np.array([2])), ("small", np.array([4]))]
    grade, group = verdicts(plain, card)
    assert grade.tolist() == [LIKELY, 0, CERTAIN, 0, 0]
    assert group.tolist() == [0, NONE, 1, NONE, NONE]
    told = ("state", [("certain", {"members": np.array([0]), "cardset": np.array([1, 3])})])
    assert verdicts(told, card)[0].tolist() == [CERTAIN, CERTAIN, 0, 0, CERTAIN]
    alone = ("state", [("likely", {"members": np.array([0]), "cardset": np.array([1]), "by_account": True})])
    assert verdicts(alone, card)[0].tolist() == [LIKELY, 0, 0, 0, 0]


def test_a_judge_that_knows_contains_and_one_that_is_not_certain_refuses_nothing(base: World) -> None:
    results = play(
        NAMED["base"], 1, TINY, [Batch("oracle", oracle), Batch("timid", timid), Batch("hasty", hasty)]
    )
    knows, doubts, rash = results
    (held,), (open_one,) = knows.chases, doubts.chases
    assert held.after_24 == pytest.approx(1.0, abs=0.2) or held.after_24 < 1.2
    assert held.hours_to_certain <= 2
    assert (knows.pure, knows.honest_old) == (knows.members, 0)
    assert sum(crowd.refused for crowd in knows.crowds) == 0
    assert open_one.after_24 == pytest.approx(open_one.demand_24)
    assert (open_one.hours_to_likely, open_one.hours_to_certain) == (held.hours_to_likely, math.inf)
    assert open_one.likely == pytest.approx(1.0)
    assert doubts.members == 0
    assert rash.honest_old > 100
    assert rash.pure < 0.9 * rash.members
    assert sum(crowd.refused for crowd in rash.crowds) > 0


def test_groups_keep_their_budget_while_they_keep_their_members(base: World) -> None:
    """A budget is not new every hour because a model numbers its groups anew."""

    def renumbering(w: Columns, time_s: float) -> list[tuple[str, np.ndarray]]:
        empty = [("certain", np.zeros(0, dtype=np.int64))] * (int(time_s) // 3600 % 7)
        return empty + oracle(w, time_s)

    outcome = Batch("renumbering", renumbering).run(base.trace)
    assert len(np.unique(outcome.cluster[outcome.cluster >= 0])) == 1


def test_a_model_sees_nothing_that_is_to_come() -> None:
    """What is asked at an hour decides from that hour on."""
    seen = []

    def watching(w: Columns, time_s: float) -> list[tuple[str, np.ndarray]]:
        seen.append(time_s)
        return oracle(w, time_s) if time_s == 20 * 3600 else []

    trace = NAMED["base"].world(1, TINY).trace
    outcome = Batch("watching", watching).run(trace)
    hour = (trace.time_ns - START_NS) // HOUR_NS
    assert set(hour[outcome.verdicts == CERTAIN]) == {20}
    assert seen == sorted(seen)


def test_clusters_that_say_no_verdict_are_certain(base: World) -> None:
    count = len(base.trace)
    silent = Outcome(np.ones(count, dtype=bool), np.arange(count) % 2 - 1, np.full(1, NONE))
    assert set(silent.verdicts[silent.cluster >= 0]) == {CERTAIN}
    assert set(silent.verdicts[silent.cluster < 0]) == {0}


@pytest.mark.parametrize("spoken", [True, False], ids=["verdicts", "clusters only"])
def test_a_replay_that_knows_verdicts_is_read_by_them(base: World, tmp_path: Path, spoken: bool) -> None:
    words = ('"certain"', '"likely"', "null")
    lines = []
    for row in range(len(base.trace)):
        verdict = f',"verdict": {words[row % 3]}' if spoken else ""
        cluster = "" if row % 3 == 2 else ',"cluster": "c1"'
        lines.append(f'{{"decision":"admit"{cluster}{verdict}}}\n')
    (tmp_path / "decisions").write_text("".join(lines))
    outcome = kinlimit._read(base.trace, tmp_path / "decisions", None, {})
    expected = [CERTAIN, LIKELY, 0] if spoken else [CERTAIN, CERTAIN, 0]
    assert outcome.verdicts[:3].tolist() == expected
    assert (outcome.verdict is not None) is spoken


def test_limits_alone_and_the_truth_bound_all_contenders(base: World) -> None:
    limits, truth = play(NAMED["base"], 1, TINY, [PerAccount(), TrueLabels()])
    assert limits.chases[0].amplification == pytest.approx(limits.chases[0].demand)
    assert truth.chases[0].after_24 < 1.2
    assert truth.pure == truth.members
    assert not truth.honest_old


def test_harm_is_counted_beyond_the_control(base: World) -> None:
    trace = base.trace
    honest = np.flatnonzero(trace.truth.honest[trace.account])
    control, outcome = PerAccount().control(trace), PerAccount().control(trace)
    outcome.admitted[honest[:30]] = False
    control.admitted[honest[:10]] = False
    result = measure(NAMED["base"], base, 1, "x", outcome, control, TINY.scale)
    assert sum(crowd.refused for crowd in result.crowds) == 20
    assert sum(crowd.limited for crowd in result.crowds) == 10


def crowd(klass: str = "offices", **numbers: object) -> Crowd:
    nothing = Crowd(klass, False, False, 100_000, 1000, 0, 0, 0, 0, 0, 0)
    return replace(nothing, **numbers)  # type: ignore[arg-type]


def chase(family: str = "base", change: str = "", **numbers: object) -> Chase:
    held = Chase(family, change, 9, 9, 1, 1, 1, 1, 1, 1, 1, 1, 1, 20, 1000, 800.0, 200.0)
    return replace(held, **numbers)  # type: ignore[arg-type]


def result(
    kind: str = "plain", *, crowds: tuple[Crowd, ...] = (), chases: tuple[Chase, ...] = (), **numbers: int
) -> Result:
    nothing = Result("x", kind, "x", "", 1, "mine", 1, crowds, chases, 0, 0, 0)
    return replace(nothing, **numbers)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("aim", "good", "bad"),
    [
        (
            "established: honest requests refused",
            [result(crowds=(crowd(refused=10),))],
            [result(crowds=(crowd(refused=11),))],
        ),
        (
            "… of the worst class",
            [result(crowds=(crowd(refused=100),))],
            [result(crowds=(crowd(refused=101),))],
        ),
        ("… accounts ever refused", [result(crowds=(crowd(ever=1),))], [result(crowds=(crowd(ever=2),))]),
        (
            "brand-new: requests refused, worst class",
            [result(crowds=(crowd(new=True, refused=1000),))],
            [result(crowds=(crowd(new=True, refused=1001),))],
        ),
        (
            "single organisations certain",
            [result(crowds=(crowd("agency", likely=1000),))],
            [result(crowds=(crowd("agency", certain=1),))],
        ),
        (
            "established: honest requests likely",
            [result(crowds=(crowd(likely=1000),))],
            [result(crowds=(crowd(likely=1001),))],
        ),
        (
            "purity of certain actors, by members",
            [result(members=1000, pure=999)],
            [result(members=1000, pure=998)],
        ),
        (
            "… members that are not honest",
            [result(members=1000, crowds=(crowd(accounts_certain=1),))],
            [result(members=1000, crowds=(crowd(accounts_certain=2),))],
        ),
        (
            "… for a price: a budget beyond the first, a month",
            [
                result(chases=(chase(),)),
                result("changed", chases=(chase(change="pairs", after_24=11.0, evasion_dollars=90.0),)),
            ],
            [
                result(chases=(chase(),)),
                result("changed", chases=(chase(change="pairs", after_24=11.0, evasion_dollars=89.0),)),
            ],
        ),
        ("… honest ones older than two weeks", [result()], [result(honest_old=1)]),
        (
            goals.CHANGED,
            [result(chases=(chase(),)), result("changed", chases=(chase(change="CV 2", after_24=1.2),))],
            [result(chases=(chase(),)), result("changed", chases=(chase(change="CV 2", after_24=1.21),))],
        ),
        (
            "hours beyond the budget: ≤ 6 h",
            [result(chases=(chase(hours_beyond=6.0),))],
            [result(chases=(chase(hours_beyond=6.1),))],
        ),
        (
            "hours to likely, of those within six",
            [result(chases=(chase(hours_to_likely=3.0),))],
            [result(chases=(chase(hours_to_likely=math.inf),))],
        ),
        (
            "a card each, rotating: traffic likely after a day",
            [result(chases=(chase("card each, residential", likely=0.9),))],
            [result(chases=(chase("card each, residential", likely=0.89),))],
        ),
        (
            "a card each: certain",
            [result(chases=(chase("full mimic", certain=0.0),))],
            [result(chases=(chase("full mimic", certain=0.1),))],
        ),
        (
            "overt: budgets a payment method, after a day",
            [result(chases=(chase("overt exits", after_24=20.0),))],
            [result(chases=(chase("overt exits", after_24=22.0),))],
        ),
        (
            "cheapest budget beyond the first, a month",
            [result(chases=(chase(after_24=11.0, evasion_dollars=90.0),))],
            [result(chases=(chase(after_24=11.0, evasion_dollars=89.0),))],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_aim_is_met_up_to_its_bound_and_missed_beyond(
    aim: str, good: list[Result], bad: list[Result]
) -> None:
    def met(results: list[Result]) -> bool | None:
        return next(row.met for row in goals.rows(results) if row.aim == aim)

    assert met(good) is True
    assert met(bad) is False


def test_what_did_not_run_is_not_met() -> None:
    assert {row.met for row in goals.rows([]) if "≤" in row.bound and row.found == "nothing ran"} == {None}


def test_a_model_without_a_policy_around_it_says_nothing_of_open_limits() -> None:
    bare = replace(
        result(chases=(chase("overt exits", after_24=22.0, evasion_dollars=1.0),)), contender="core"
    )
    rows = {row.aim: row for row in goals.rows([bare])}
    for aim in ("overt: budgets a payment method, after a day", "cheapest budget beyond the first, a month"):
        assert (rows[aim].met, rows[aim].where) == (None, goals.BARE)


def test_a_bill_grows_with_what_is_bought() -> None:
    def dollars(name: str) -> price.Bill:
        return price.bill(NAMED[name].world(1, TINY), 0, TINY.scale)

    base = dollars("base")
    assert base.total == base.methods + base.accounts + base.exits
    assert dollars("pairs").methods > 5 * base.methods
    aged = dollars("aged")
    assert aged.accounts > 10 * base.accounts
    assert (base.age, base.evasion) == (0.0, base.methods + base.exits)
    assert aged.evasion == pytest.approx(aged.methods + aged.exits + aged.accounts * 7.5 / 8)
    assert dollars("card each, sticky").exits > base.exits
    assert dollars("base + CV 2").methods == base.methods


def test_the_matrix_has_a_plain_form_beside_each_change() -> None:
    results = [
        result(chases=(chase(after_24=1.0),)),
        result("changed", chases=(chase(change="CV 2", after_24=9.0),)),
    ]
    columns_, cells = tables.matrix(results)
    assert columns_ == ("change", "base")
    assert cells == [("(plain)", "1.00"), ("CV 2", "9.00")]


def test_workers_come_to_the_same_results() -> None:
    entries = [NAMED["base"], NAMED["families of four"]]
    tiny = replace(TINY, scale=0.05)
    names = ("per-account", "true-labels")
    one = list(contest(entries, [1], tiny, names))
    two = list(contest(entries, [1], tiny, names, workers=2))
    assert [[each.as_dict() for each in played] for played in one] == [
        [each.as_dict() for each in played] for played in two
    ]


def test_a_model_that_is_trained_never_sees_what_is_left_out() -> None:
    trained: list[set[str]] = []

    def fit(worlds: object) -> object:
        trained.append({group.name for world in worlds for group in world.groups})  # type: ignore[attr-defined]
        return timid

    left = list(
        leave_out(
            2, 1, replace(TINY, accounts=120), fits={"timid": fit}, fixed={"none": PerAccount()}, train=3
        )
    )  # type: ignore[dict-item]
    families = list(dict.fromkeys(one.family for one in left))
    assert len(families) == len(trained)
    for family, names in zip(families, trained, strict=True):
        assert all(not name.endswith(family) for name in names)
    assert {one.contender for one in left} == {"timid", "none"}


def test_the_command_plays_judges_and_tells(tmp_path: Path) -> None:
    model = tmp_path / "model.py"
    model.write_text("def judge(w, time_s):\n    return [('certain', (w['actor'] == 1).nonzero()[0])]\n")
    arguments = [
        "--world",
        "base",
        "--world",
        "base + CV 2",
        "--world",
        "families of four",
        "--accounts",
        "250",
    ]
    arguments += [
        "--contender",
        f"{model}:judge",
        "--contender",
        "per-account",
        "--out",
        str(tmp_path / "out"),
    ]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert "model" in done.output
    assert "changed for nothing: within 0.3 budgets" in done.output
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert {one["contender"] for one in results} == {"model", "per-account"}
    assert "## model: aims" in (tmp_path / "out" / "families.md").read_text()
    arguments[arguments.index(f"{model}:judge")] = "union-find"
    assert CliRunner().invoke(main, arguments).exit_code == 1  # it misses aims, and says so
    assert CliRunner().invoke(main, ["--world", "no such world"]).exit_code == 2


def test_the_library_plays_families_by_its_own_replay() -> None:
    tiny = replace(TINY, scale=0.1)
    (played,) = contest([NAMED["base"]], [1], tiny, ["kinlimit"])
    (one,) = played
    assert one.chases[0].demand > 0
    assert one.requests > 5000


def test_verdicts_that_depend_on_the_seed_are_not_steady() -> None:
    entry = NAMED["base"]
    tiny = replace(TINY, scale=0.05)
    (found,) = steadiness([entry], 1, tiny, ["true-labels", "union-find"])
    truth, joins_all = found
    assert (truth.contender, joins_all.contender) == ("true labels", "union-find")
    assert len(truth.budgets) == len(truth.refused) == len(variants(1, tiny))
    assert truth.holds
    assert not replace(truth, budgets=(1.0, 1.4)).holds
    assert not replace(truth, refused=(0.0, 0.02)).holds
