"""What a raised limit would do: said only where it follows from counts, and true for any requests."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ratelimit.clock import ManualClock
from ratelimit.inspection.callers.refusals import HostsReport, refused_words
from ratelimit.inspection.hosts.moment import Refused, in_words
from ratelimit.inspection.hosts.raising import WHOLE_NS, passing_of, passing_words, raised, raised_of
from ratelimit.limiter import Limiter
from ratelimit.policy import Policy
from ratelimit.stores.shed import MOST_LINES
from ratelimit.worker.refusal_lines import refusal_lines
from tests.cli.running import run, write_policy

NS = 10**9
START_NS = 1_700_000_000 * NS
POLICY = """\
version = 1
[identities]
account = {{ from = "header:x-api-key" }}
[[limit]]
name = "requests"
per = "account"
rate = "{rate}/minute"
algorithm = "{algorithm}"
{more}
[hashing]
key = "00112233445566778899aabbccddeeff"
[store]
keys = 5000
memory = "{memory}"
"""
CALLERS = 120


def written(algorithm: str, times: float, memory: object = "private") -> str:
    more = f"burst = {4 * times:g}" if algorithm == "token-bucket" else ""
    return POLICY.format(algorithm=algorithm, rate=f"{6 * times:g}", more=more, memory=memory)


def refusals(algorithm: str, times: float) -> tuple[Policy, dict[int, Refused]]:
    """Return what a limit refuses of many callers, each with another random stream of requests."""
    clock, source = ManualClock(START_NS), random.Random(11)
    policy = Policy.from_toml(written(algorithm, times))
    limiter = Limiter(policy, clock=clock)
    instants = []
    for number in range(CALLERS):
        asked, length = source.choice((5, 12, 25, 60)), source.choice((1, 20, 200, 900))
        instants += [(source.uniform(0, length), number) for _ in range(asked)]
    for at_s, number in sorted(instants):
        clock.set_ns(START_NS + int(at_s * NS))
        limiter.decide(identities={"account": f"acct-{number}"})
    lines = refusal_lines(limiter.table, policy.compiled, limiter.rules, None, clock.now_ns())
    found = {each.hash: each for each in in_words(policy.compiled, [("here", one) for one in lines], [])}
    limiter.close()
    return policy, found


@pytest.mark.parametrize("algorithm", ["token-bucket", "fixed-window", "sliding-window", "sliding-log"])
def test_what_is_said_of_a_limit_of_twice_the_numbers_is_what_such_a_limit_does(
    algorithm: str,
) -> None:
    """Hazard: a number that is invented: of some callers counts alone do not tell."""
    policy, refused = refusals(algorithm, 1)
    _, twice = refusals(algorithm, 2)
    (rule,) = policy.compiled.rules
    said = {"pass": 0, "stay": 0, "open": 0}
    for who, one in refused.items():
        found = raised(rule, [one])
        assert (found.rule.quota, found.callers) == (12, 1)
        said["pass" if found.passing else "stay" if found.staying else "open"] += 1
        assert not (found.passing and who in twice)
        assert not (found.staying and who not in twice)
    assert min(said.values()) > 0, said


def test_numbers_of_a_tier_are_looked_at_by_themselves() -> None:
    """Hazard: the policy's own numbers are told of callers whose plan has others."""
    plan = 'plan = { from = "header:x-plan", missing = "skip" }\n[[limit]]'
    own = 'burst = 4\ntiers = { plan = { trial = { rate = "2/minute", burst = 2 } } }'
    policy = Policy.from_toml(written("token-bucket", 1).replace("[[limit]]", plan).replace("burst = 4", own))
    several = [
        *(replace(each, tier="trial") for each in rows(policy, 1, 2, 900)),
        *(replace(each, hash=each.hash + 10) for each in rows(policy, 4)),
        *(replace(each, hash=99, tier=tier) for tier in ("", "trial") for each in rows(policy, 1)),
    ]
    assert {each.words for each in raised_of(policy.compiled, several).found} == {
        "`requests, tier trial` at 4 a minute: of 3 refused callers 2 would pass, 1 would still be refused; "
        "at least 5 and at most 11 of its 903 refusals within the last hour would have passed",
        "`requests` at 12 a minute, 8 at once: its one refused caller would pass",
    }
    both = [each for each in several if each.hash == 99]
    (said,) = raised_of(policy.compiled, both).unsaid
    assert said.startswith(
        "Counts do not tell what other numbers of `requests`, `requests, tier trial` would do"
    )


def rows(policy: Policy, *refused: int, span_s: int = 60) -> list[Refused]:
    return [
        Refused("web-1", "requests", "account", number, times, 0, START_NS, START_NS + span_s * NS)
        for number, times in enumerate(refused, 1)
    ]


def test_callers_are_counted_and_what_is_not_known_is_named() -> None:
    policy = Policy.from_toml(written("token-bucket", 1))
    (found,) = raised_of(policy.compiled, rows(policy, 1, 4, 5, 900)).found
    assert found.words == (
        "`requests` at 12 a minute, 8 at once: of 4 refused callers 2 would pass, "
        "1 would still be refused, for 1 it depends on when they asked; "
        "at least 13 and at most 30 of its 910 refusals within the last hour would have passed"
    )
    assert found.as_json()["would_pass"] == 2


def test_nothing_is_said_where_nothing_follows() -> None:
    policy = Policy.from_toml(written("token-bucket", 1))
    assert raised_of(policy.compiled, rows(policy, 1, span_s=WHOLE_NS // NS)).found == []
    assert raised_of(policy.compiled, rows(policy, *[1] * MOST_LINES)).found == []
    by_act = [replace(each, act="7") for each in rows(policy, 1)]
    assert raised_of(policy.compiled, by_act).found == []


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("", "that depends on when each caller asked"),
        (
            'unit = "output_tokens"\ncost = 5',
            "of which requests take different numbers",
        ),
        ("adaptive = true", "it changes with load or conduct"),
    ],
)
def test_why_nothing_is_said_stands_in_one_line(more: str, words: str) -> None:
    """Hazard: a person who waits for it sees nothing, and does not know why."""
    policy = Policy.from_toml(written("token-bucket", 1).replace("burst = 4", f"burst = 40\n{more}"))
    (said,) = raised_of(policy.compiled, rows(policy, 70, span_s=WHOLE_NS // NS)).unsaid
    assert said.startswith("Counts do not tell what other numbers of `requests` would do: ")
    assert words in said
    (said,) = raised_of(policy.compiled, rows(policy, *[1] * MOST_LINES)).unsaid
    assert "all it has room for" in said


def test_another_factor_is_another_limit() -> None:
    policy = Policy.from_toml(written("token-bucket", 1))
    (found,) = raised_of(policy.compiled, rows(policy, 1, 4, 5, 900), times=1.5).found
    assert found.words.startswith("`requests` at 9 a minute, 6 at once: of 4 refused callers 1 would pass")
    (found,) = raised_of(policy.compiled, rows(policy, 1, 4, 5, 900), times=10).found
    assert "`requests` at 60 a minute, 40 at once: of 4 refused callers 3 would pass" in found.words


def test_screens_say_it_and_which_command_knows_more(tmp_path: Path) -> None:
    path = write_policy(tmp_path, written("token-bucket", 1, tmp_path / "table"))
    limiter = Limiter(path)
    try:
        for name, times in (("ann", 6), ("bob", 5)):
            for _ in range(times):
                limiter.decide(identities={"account": name})
        result = run("show", "refused", path)
        said = " ".join(result.stderr.split())
        assert "`requests` at 12 a minute, 8 at once: of 2 refused callers 2 would pass." in said
        assert f"`ratelimit diff {path} NEW.toml access.log` says what other numbers change" in said
        assert json.loads(run("show", "refused", path, "--json").stdout)["raised"] == [
            {
                "limit": "requests",
                "tier": None,
                "at": "12 a minute, 8 at once",
                "callers": 2,
                "would_pass": 2,
                "would_be_refused": 0,
                "refusals": 3,
                "would_pass_at_least": 3,
                "would_pass_at_most": 3,
            }
        ]
        said = " ".join(run("show", "refused", path, "--times", "1.25").stderr.split())
        assert "`requests` at 8 a minute, 5 at once: of 2 refused callers 1 would pass" in said
        assert run("show", "refused", path, "--times", "1").exit_code == 2
        said = " ".join(run("who", path, "ann").stderr.split())
        assert "`requests` at 12 a minute, 8 at once: its one refused caller would pass." in said
        assert f"`ratelimit diff {path} NEW.toml access.log`" in said
    finally:
        limiter.close()


def test_streams_that_a_raised_bucket_lets_through_are_never_said_to_be_refused_still() -> None:
    """Hazard: bursts that fall between the two buckets; those that are worst for the claim are looked for."""
    source = random.Random(5)
    policy = Policy.from_toml(written("token-bucket", 1))
    claimed = 0
    for _ in range(300):
        burst, factor = source.choice((1, 2, 3, 7, 15)), source.choice((1.1, 1.25, 1.5, 2, 3))
        rule = replace(policy.compiled.rules[0], quota=60, burst=burst)
        most = round(factor * burst)
        bursts = [(source.randint(1, most), 3 * source.random()) for _ in range(source.randint(1, 4))]
        instants, at_s = list[float](), 0.0
        for many, pause_s in bursts * 30:
            at_s += pause_s
            instants += [at_s] * many
        refused = refused_at(instants, burst, 1.0)
        if not refused:
            continue
        since_ns, last_ns = (START_NS + int(each) * NS for each in (refused[0], refused[-1]))
        one = Refused("here", "requests", "account", 1, len(refused), 0, since_ns, last_ns)
        if raised(rule, [one], factor).staying:
            claimed += 1
            assert refused_at(instants, most, round(factor * 60) / 60)
    assert claimed > 20


def refused_at(instants: list[float], burst: int, rate: float) -> list[float]:
    """Return when a bucket refuses, that was full before the first request."""
    left, last, found = float(burst), instants[0], []
    for at in instants:
        left, last = min(burst, left + (at - last) * rate), at
        if left >= 1 - 1e-9:
            left -= 1
        else:
            found.append(at)
    return found


@pytest.mark.parametrize("algorithm", ["token-bucket", "fixed-window", "sliding-window", "sliding-log"])
@pytest.mark.parametrize("times", [2, 5])
def test_what_would_have_passed_of_one_caller_lies_within_what_is_said(algorithm: str, times: int) -> None:
    """Hazard: the preview of a raise for one caller says nothing of its refusals, or what is wrong."""
    policy, refused = refusals(algorithm, 1)
    _, wider = refusals(algorithm, times)
    (rule,) = policy.compiled.rules
    raised_rule = replace(rule, quota=times * rule.quota, burst=times * rule.burst)
    exact = open_ = 0
    for who, one in refused.items():
        least, most = passing_of(rule, raised_rule, one)
        passed = one.refused - (wider[who].refused if who in wider else 0)
        assert least <= passed <= most, (one, least, passed, most)
        assert 0 < least <= most <= one.refused
        exact += least == most
        open_ += least < most
    assert exact
    assert open_


@pytest.mark.parametrize("algorithm", ["token-bucket", "fixed-window", "sliding-window", "sliding-log"])
@pytest.mark.parametrize("times", [1.5, 2, 5])
def test_what_would_have_passed_of_all_callers_lies_within_what_is_said(algorithm: str, times: float) -> None:
    """Hazard: of a limit whose callers are refused still nothing is said of how many requests that is."""
    policy, refused = refusals(algorithm, 1)
    _, wider = refusals(algorithm, times)
    (rule,) = policy.compiled.rules
    source = random.Random(3)
    for size in (1, 1, 1, 2, 3, 5, 10, 30, 60, len(refused)):
        of = source.sample(sorted(refused), size)
        found = raised(rule, [refused[each] for each in of], times)
        passed = sum(refused[one].refused - (wider[one].refused if one in wider else 0) for one in of)
        assert found.refusals == sum(refused[one].refused for one in of)
        assert 0 < found.least <= passed <= found.most <= found.refusals, (size, found, passed)
        assert found.says_something


def test_a_caller_that_is_refused_still_has_a_bound_and_one_that_may_be_has_no_verdict() -> None:
    """Hazard: "its one refused caller would still be refused", of one of which counts do not tell that."""
    policy = Policy.from_toml(written("token-bucket", 1))
    (found,) = raised_of(policy.compiled, rows(policy, 900)).found
    assert found.words == (
        "`requests` at 12 a minute, 8 at once: its one refused caller would still be refused; "
        f"at least 4 and at most {found.most} of its 900 refusals within the last hour would have passed"
    )
    assert 4 < found.most < 100
    (found,) = raised_of(policy.compiled, rows(policy, 7)).found
    assert (found.passing, found.staying) == (0, 0)
    assert found.words == (
        "`requests` at 12 a minute, 8 at once: "
        "at least 4 of its 7 refusals within the last hour would have passed"
    )
    (found,) = raised_of(policy.compiled, rows(policy, 5, 900)).found
    assert found.words.endswith(
        f"; at least 8 and at most {found.most} of its 905 refusals within the last hour would have passed"
    )


def test_a_caller_whose_limit_left_shadow_meanwhile_is_one_caller_of_which_nothing_is_said() -> None:
    """Hazard: what its bucket would have let through once is counted twice."""
    policy = Policy.from_toml(written("token-bucket", 1))
    (one,) = rows(policy, 3)
    assert raised_of(policy.compiled, [one, replace(one, in_shadow=True)]).found == []


def one_refused(**changes: Any) -> Refused:
    at_ns = START_NS + 60 * NS
    return replace(Refused("web-1", "requests", "account", 7, 4, 0, START_NS, at_ns, now=3), **changes)


def test_a_raise_says_of_a_caller_what_would_have_passed_and_why_it_cannot_say() -> None:
    compiled = Policy.from_toml(written("fixed-window", 1)).compiled
    (rule,) = compiled.rules
    twice = replace(rule, quota=12, burst=12)
    said = "of these at 12 a minute"
    assert passing_words(compiled, rule, twice, [one_refused()]) == f"{said} all would have passed"
    two = [one_refused(), one_refused(host="web-2", refused=30)]
    words = f"{said} at least 6 would have passed, by when it asked"  # 34 at most, which are all
    assert passing_words(compiled, rule, twice, two) == words
    two = [one_refused(), one_refused(host="web-2", refused=300)]
    assert passing_words(compiled, rule, twice, two).startswith(f"{said} at least 6 and at most ")
    long = one_refused(last_ns=START_NS + WHOLE_NS)
    words = f"{said}: counts do not tell, as refusals go on for half an hour"
    assert passing_words(compiled, rule, twice, [long]) == words
    assert passing_words(compiled, rule, twice, []) == ""
    assert passing_words(compiled, twice, rule, [one_refused()]) == ""
    tokens = replace(rule, unit="output_tokens")
    assert "counts do not tell, as it counts output_tokens" in passing_words(
        compiled, tokens, replace(tokens, quota=12), [one_refused()]
    )


def test_a_preview_tells_of_refusals_in_shadow_apart() -> None:
    """Hazard: an exemption hides that limits in shadow would have refused the caller."""
    shadow = one_refused(limit="strict", in_shadow=True, refused=9, now=2)
    told = HostsReport([one_refused(), shadow, replace(shadow, host="web-2")], hosts=["web-1", "web-2"])
    assert refused_words(told, "account", [7]) == [
        "`requests` refused it 4 times within the last hour, 3 in the last minute, here",
        "`strict` would have refused it (in shadow) 18 times within the last hour, "
        "4 in the last minute, here",
    ]
    own = one_refused(limit="strict", refused=5, now=1)
    assert [
        each.partition("last hour, ")[2]
        for each in refused_words(HostsReport([own, shadow], hosts=["web-1"]), "account", [7])
    ] == ["1 in the last minute, here", "2 in the last minute, here"]
