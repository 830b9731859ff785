"""What members had before is charged to limits that would have counted it, and to no others."""

from __future__ import annotations

import pytest

from ratelimit import Limiter, Policy
from ratelimit.budgets import general_limits
from ratelimit.clock import ManualClock

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


def limit(name: str, more: str, match: str = '["/v1/*", "/v2/*"]', per: str = "cluster") -> str:
    return f'[[limit]]\nname = "{name}"\nmatch = {match}\nper = "{per}"\n{more}\n'


def charged(limits: str, requests: int = 7) -> dict[str, int]:
    """Return how much of each limit is used once a cluster is charged with some requests."""
    clock = ManualClock()
    limiter = Limiter(Policy.from_toml(POLICY.format(limits=limits)), clock=clock)
    generation = limiter.current
    row = generation.extractor.nobody.copy()
    row[generation.compiled.cluster] = CLUSTER
    used = {}
    now_ns = clock.now_ns()
    before = left(limiter, row, now_ns)
    generation.budgets.charge([(CLUSTER, requests)], now_ns)
    after = left(limiter, row, now_ns)
    for name in before:
        used[name] = before[name] - after[name]
    limiter.close()
    return used


def left(limiter: Limiter, row: list[int], now_ns: int) -> dict[str, int]:
    generation = limiter.current
    found = {}
    for path in ("/v1/x", "/v2/x"):
        plan = generation.match("POST", path).plan_for(row)
        assert plan is not None
        outcome = plan.peek(row, now_ns, [0] * 16)
        for index, rule in enumerate(plan.rules):
            if rule.per == (generation.compiled.cluster,):
                found[rule.name] = outcome.remaining(index)
    return found


def test_each_of_several_rates_is_charged() -> None:
    assert charged(limit("one", 'rate = "100/day, 50/hour"\nalgorithm = "fixed-window"')) == {
        "one": 7,
        "one#2": 7,
    }


def test_limit_of_a_part_of_the_routes_is_not_charged() -> None:
    limits = limit("all", 'rate = "100/day"') + limit("part", 'rate = "100/day"', '"/v2/*"')
    assert charged(limits) == {"all": 7, "part": 0}


def test_no_limit_is_charged_where_another_applies_elsewhere() -> None:
    limits = limit("one", 'rate = "100/day"') + limit("login", 'rate = "5/minute"', '"/login"', "ip")
    assert charged(limits) == {"one": 0}


def test_other_units_are_charged_as_on_arrival() -> None:
    limits = limit("tokens", 'unit = "output_tokens"\nrate = "100000/day"\nestimate = 500')
    assert charged(limits) == {"tokens": 3500}
    assert charged(limit("dear", 'rate = "100/day"\ncost = 3')) == {"dear": 21}


def test_shadow_limit_counts_what_it_would() -> None:
    assert charged(limit("one", 'rate = "100/day"\nmode = "shadow"')) == {"one": 7}


def test_debt_is_bounded_by_the_limit_and_not_by_the_number() -> None:
    limits = limit("one", 'rate = "2400/day"\nburst = 100')
    clock = ManualClock()
    limiter = Limiter(Policy.from_toml(POLICY.format(limits=limits)), clock=clock)
    row = limiter.current.extractor.nobody.copy()
    row[limiter.current.compiled.cluster] = CLUSTER
    limiter.current.budgets.charge([(CLUSTER, 2**31)], clock.now_ns())
    hour_ns = 3600 * 10**9
    assert left(limiter, row, clock.now_ns() + 1 * hour_ns)["one"] == 0
    assert left(limiter, row, clock.now_ns() + 2 * hour_ns)["one"] == 100
    limiter.close()


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ("", {0}),
        (limit("one", 'rate = "5/day"', '["/v1/*", "/v2/*", "/v3/*"]'), {1}),
        (limit("one", 'rate = "5/day"', '"GET /v1/*"'), {0}),
        (limit("one", 'rate = "5/day"', '"/other"'), set()),
        (limit("one", 'rate = "5/day"\non = "message"'), set()),
    ],
)
def test_general_is_what_applies_wherever_any_limit_does(limits: str, expected: set[int]) -> None:
    assert general_limits(Policy.from_toml(POLICY.format(limits=limits)).compiled) == expected
