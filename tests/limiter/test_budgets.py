"""Earlier use of members: charged to limits that would have counted it, and to no others."""

from __future__ import annotations

import pytest

from ratelimit import Limiter, Policy
from ratelimit.clock import ManualClock
from ratelimit.clustering.budgets import counters_of_clusters, general_limits
from ratelimit.core.algorithms.rule import Rule
from ratelimit.deciding.bound_policy import BoundPolicy

POLICY = """\
version = 1
[store]
memory = "private"
[identities]
account = {{ from = "header:x-api-key" }}
ip = {{ from = "client" }}
[[limit]]
name = "each"
match = ["/v1/*", "/v2/*"]
per = "account"
rate = "1000/minute"
{limits}
[correlation]
principal = "account"
network = ["ip"]
"""
CLUSTER = 77
NOTHING = [0] * 16


def limit(name: str, more: str, match: str = '["/v1/*", "/v2/*"]', per: str = "cluster") -> str:
    return f'[[limit]]\nname = "{name}"\nmatch = {match}\nper = "{per}"\n{more}\n'


def charged(limits: str, requests: int = 7, *, is_used_up: bool = True) -> dict[str, int]:
    """Return with how much of each limit, a token bucket, a cluster is charged for some requests."""
    clock = ManualClock()
    limiter = Limiter(Policy.from_toml(POLICY.format(limits=limits)), clock=clock)
    bound, now_ns = limiter.current, clock.now_ns()
    row = row_of(bound, CLUSTER)
    plan = bound.store.plan(*counters(bound))
    if is_used_up:
        full = plan.peek(row, now_ns, NOTHING)
        for index in range(len(full)):
            plan.decide(row, now_ns, [full.remaining(index) if at == index else 0 for at in range(16)])
    before = plan.peek(row, now_ns, NOTHING)
    bound.budgets.charge([(CLUSTER, requests)], now_ns)
    after = plan.peek(row, now_ns, NOTHING)
    found = {}
    for index, rule in enumerate(counters_of_clusters(bound.compiled)):
        drained_ns = after.reset_after_ns(index) - before.reset_after_ns(index)
        found[rule.counter_name] = round(drained_ns * rule.quota / rule.period_ns)
    limiter.close()
    return {name: amount for name, amount in found.items() if amount or name[0] != "\x1f"}


def row_of(bound: BoundPolicy, cluster: int) -> list[int]:
    """Return the identities of a member, likely and certain at once, so that each counter is looked at."""
    row = bound.extractor.anonymous.copy()
    for position in range(bound.compiled.actor, bound.compiled.cluster + 1):
        row[position] = cluster
    return row


def counters(bound: BoundPolicy) -> tuple[list[Rule], list[tuple[int, ...]], None, list[int]]:
    rules = counters_of_clusters(bound.compiled)
    core = [bound._core_rules[rule.index] for rule in rules]
    return core, [rule.per for rule in rules], None, list(range(len(rules)))


def test_each_of_several_rates_is_charged() -> None:
    assert charged(limit("one", 'rate = "100/day, 50/hour"')) == {"one": 7, "one#2": 7}


def test_what_is_not_used_up_is_not_charged() -> None:
    assert charged(limit("one", 'rate = "100/day, 50/hour"'), is_used_up=False) == {"one": 0, "one#2": 0}


def test_limit_of_a_part_of_the_routes_is_not_charged() -> None:
    limits = limit("all", 'rate = "100/day"') + limit("part", 'rate = "100/day"', '"/v2/*"')
    assert charged(limits) == {"all": 7, "part": 0}


def test_routes_without_limits_per_cluster_do_not_matter() -> None:
    limits = limit("one", 'rate = "100/day"') + limit("login", 'rate = "5/minute"', '"/login"', "ip")
    assert charged(limits) == {"one": 7}


def test_limit_with_tiers_is_not_charged() -> None:
    tiers = 'rate = "100/day"\ntiers = { account = { gold = "10000/day" } }'
    assert set(charged(limit("one", tiers)).values()) == {0}


def test_other_units_are_charged_as_on_arrival() -> None:
    limits = limit("tokens", 'unit = "output_tokens"\nrate = "100000/day"\ncost = 500')
    assert charged(limits) == {"tokens": 3500}
    assert charged(limit("dear", 'rate = "100/day"\ncost = 3')) == {"dear": 21}


def test_shadow_limit_counts_what_it_would() -> None:
    assert charged(limit("one", 'rate = "100/day"\nmode = "shadow"')) == {"one": 7}


def test_debt_is_bounded_by_the_limit_and_not_by_the_number() -> None:
    assert charged(limit("one", 'rate = "2400/day"\nburst = 100'), 2**40) == {"one": 100}


def test_what_a_cluster_used_is_carried_once_for_all_its_tiers() -> None:
    tiers = 'rate = "100/day"\ntiers = { account = { gold = "900/day" } }'
    tiers += '\nalgorithm = "fixed-window"'
    clock = ManualClock()
    limiter = Limiter(Policy.from_toml(POLICY.format(limits=limit("one", tiers))), clock=clock)
    bound, now_ns = limiter.current, clock.now_ns()
    plan = bound.store.plan(*counters(bound))
    row = row_of(bound, CLUSTER)
    plan.decide(row, now_ns, [3] * len(plan))
    bound.budgets.carry([(CLUSTER, CLUSTER + 1)], now_ns)
    assert plan.peek(row_of(bound, CLUSTER + 1), now_ns, NOTHING).remaining(0) == 97
    limiter.close()


DAILY = 'rate = "5/day"'


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ("", set()),
        (limit("one", DAILY, '"/other"'), {1}),
        (limit("one", DAILY) + limit("more", DAILY, '["/v1/*", "/v2/*", "/v3/*"]'), {2}),
        (limit("one", DAILY, '"/v1/*"') + limit("other", DAILY, '"/v2/*"'), set()),
        (limit("one", DAILY, '"GET /v1/*"') + limit("other", DAILY, '"/v1/*"'), {2}),
        (limit("one", DAILY) + limit("said", DAILY + '\nunit = "messages"'), set()),
    ],
)
def test_general_is_what_applies_wherever_any_limit_per_cluster_does(limits: str, expected: set[int]) -> None:
    assert general_limits(Policy.from_toml(POLICY.format(limits=limits)).compiled) == expected


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (limit("one", DAILY, per="cluster:likely"), {1}),
        (limit("one", DAILY, per="cluster:likely") + limit("sure", DAILY), {2}),
    ],
)
def test_what_limits_for_the_likely_have_counted_is_not_charged_to_them(
    limits: str, expected: set[int]
) -> None:
    assert general_limits(Policy.from_toml(POLICY.format(limits=limits)).compiled) == expected


@pytest.mark.parametrize("verdict", ["certain", "likely"])
def test_every_counter_of_a_cluster_is_carried(verdict: str) -> None:
    clock = ManualClock()
    text = POLICY.format(
        limits=limit("one", 'rate = "9/day"\nalgorithm = "fixed-window"', per=f"cluster:{verdict}")
    )
    limiter = Limiter(Policy.from_toml(text), clock=clock)
    bound, now_ns = limiter.current, clock.now_ns()
    plan = bound.store.plan(*counters(bound))
    plan.decide(row_of(bound, CLUSTER), now_ns, [3] * len(plan))
    bound.budgets.carry([(CLUSTER, CLUSTER + 1)], now_ns)
    after = plan.peek(row_of(bound, CLUSTER + 1), now_ns, NOTHING)
    assert [after.remaining(index) for index in range(len(plan))] == [6] * (2 if verdict == "certain" else 1)
    limiter.close()


def test_counters_go_on_when_a_limit_binds_others() -> None:
    keys = []
    for verdict in ("certain", "likely"):
        compiled = Policy.from_toml(
            POLICY.format(limits=limit("one", DAILY, per=f"cluster:{verdict}"))
        ).compiled
        keys.append([rule.salt_parts for rule in compiled.rules if rule.is_clustered and not rule.is_twin])
    assert keys[0] == keys[1]
