"""Compiled policies: from the file to numbers and positions.

In one file, since each test is a few lines of policy and what comes of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ratelimit import Limiter
from ratelimit.environment.server import KeySpec
from ratelimit.errors import PolicyError
from ratelimit.policy import Policy
from ratelimit.policy.compile.compiled import CacheSpec, CalendarSpec, LimitRule, SourceSpec
from ratelimit.policy.schema.source import MAX_BYTES
from tests.support.policy_lines import tuned

SECOND = 1_000_000_000


def rules_of(**limit: Any) -> tuple[LimitRule, ...]:
    identities = {
        "account": {"from": "header:X-API-Key"},
        "network": {"from": "client/24/64"},
    }
    tree = {"version": 1, "identities": identities, "limit": [{"name": "l", "per": "account", **limit}]}
    return Policy.from_mapping(tree).compiled.rules


def numbers(rule: LimitRule) -> tuple[str, int, int, int]:
    return rule.algorithm, rule.quota, rule.period_ns // SECOND, rule.burst


def test_a_rate_becomes_a_token_bucket_as_large_as_its_amount() -> None:
    (rule,) = rules_of(rate="50/minute")
    assert numbers(rule) == ("token-bucket", 50, 60, 50)
    assert (rule.estimate, rule.unit_index, rule.on, rule.shadow, rule.enforced_ppm) == (
        1,
        0,
        "request",
        False,
        10**6,
    )


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ({"rate": "50/minute", "burst": 20}, ("token-bucket", 50, 60, 20)),
        ({"rate": "50/minute", "algorithm": "sliding-window"}, ("sliding-window", 50, 60, 50)),
        ({"rate": "5 per 2 hours", "algorithm": "sliding-log"}, ("sliding-log", 5, 7200, 5)),
        ({"rate": "40/day", "unit": "distinct:network"}, ("distinct", 40, 86_400, 40)),
        ({"concurrent": 8}, ("concurrency", 8, 0, 8)),
        ({"concurrent": 8, "algorithm": "concurrency"}, ("concurrency", 8, 0, 8)),
    ],
)
def test_each_algorithm_has_its_numbers(limit: dict[str, Any], expected: tuple[object, ...]) -> None:
    (rule,) = rules_of(**limit)
    assert numbers(rule) == expected


def test_leases_default_to_a_minute_and_only_slots_have_them() -> None:
    assert rules_of(concurrent=8)[0].lease_ns == 60 * SECOND
    text = tuned('version = 1\n[[limit]]\nname = "l"\nper = "ip"\nconcurrent = 8\n', "slot_kept_s = 30")
    assert Policy.from_toml(text).compiled.rules[0].lease_ns == 30 * SECOND
    assert rules_of(rate="1/second")[0].lease_ns == 0


def test_several_rates_are_several_rules_with_counters_of_their_own() -> None:
    rules = rules_of(rate="1/second; 100/hour | 500/day")
    assert [(rule.name, rule.label, rule.quota) for rule in rules] == [
        ("l", b'"l"', 1),
        ("l#2", b'"l#2"', 100),
        ("l#3", b'"l#3"', 500),
    ]
    assert len({rule.salt_parts for rule in rules}) == 3


def test_a_label_is_a_quoted_string_whatever_the_name() -> None:
    (rule,) = rules_of(name='say "x" \\ y', rate="1/second")
    assert rule.label == b'"say \\"x\\" \\\\ y"'


def test_costs_and_units() -> None:
    assert rules_of(rate="10/minute", cost=3)[0].estimate == 3
    (rule,) = rules_of(rate="10/minute", unit="tokens")
    assert (rule.unit, rule.unit_index, rule.estimate) == ("tokens", 1, 0)
    assert rules_of(rate="10/minute", unit="tokens", cost=4)[0].estimate == 4


def test_shadow_and_fractions() -> None:
    (rule,) = rules_of(rate="10/minute", mode=0.1, on_store_error="closed", unit="messages")
    assert (rule.shadow, rule.enforced_ppm, rule.on_store_error, rule.on) == (
        False,
        100_000,
        "closed",
        "message",
    )


def test_calendar_windows_know_their_zone() -> None:
    (rule,) = rules_of(rate="10/month", algorithm="calendar:Europe/Berlin")
    assert rule.calendar == CalendarSpec("month", "Europe/Berlin")
    first, second = rule.calendar.starts(1_710_000_000 * SECOND, 2)
    assert first <= 1_710_000_000 * SECOND < second


def test_tiers_pick_numbers_and_share_counters() -> None:
    tree = {
        "version": 1,
        "identities": {"plan": {"from": "state:plan", "missing": "skip"}},
        "limit": [
            {
                "name": "l",
                "per": "ip",
                "rate": "10/minute; 100/hour",
                "tiers": {
                    "plan": {
                        "pro": "50/minute",
                        "big": {"rate": "50/minute", "burst": 70},
                        "free": "unlimited",
                    },
                },
            },
            {
                "name": "m",
                "per": "ip",
                "rate": "10/day",
                "burst": 4,
                "tiers": {"plan": {"pro": {"rate": "50/day"}}},
            },
        ],
    }
    compiled = Policy.from_mapping(tree).compiled
    first, second = compiled.limits
    assert first.tier_identity == compiled.identity_index("plan")
    picked = {
        tier: [compiled.rules[at] for at in rules]
        for tier, rules in [(None, first.rules), *first.tiers.items()]
    }
    assert {
        tier: [(rule.quota, rule.burst, rule.tier) for rule in rules] for tier, rules in picked.items()
    } == {
        None: [(10, 10, None), (100, 100, None)],
        "pro": [(50, 50, "pro")],
        "big": [(50, 70, "big")],
        "free": [],
    }
    assert picked["pro"][0].salt_parts == picked[None][0].salt_parts
    # A tier with a rate of its own does not inherit a burst that was meant for another rate.
    assert [compiled.rules[at].burst for at in (*second.rules, *second.tiers["pro"])] == [4, 50]


def test_tiers_of_slots_have_slots_of_their_own_number() -> None:
    limit = {"name": "l", "per": "ip", "concurrent": 4, "tiers": {"ip": {"pro": {"concurrent": 4096}}}}
    rules = Policy.from_mapping({"version": 1, "limit": [limit]}).compiled.rules
    assert [(rule.tier, rule.algorithm, rule.quota) for rule in rules] == [
        (None, "concurrency", 4),
        ("pro", "concurrency", 4096),
    ]


def test_amounts_are_not_in_the_salt_and_everything_else_is() -> None:
    base = rules_of(rate="10/minute")[0].salt_parts
    for same in ({"rate": "99/minute"}, {"burst": 3}, {"match": "/x"}, {"mode": "shadow"}, {"cost": 2}):
        assert rules_of(**{"rate": "10/minute", **same})[0].salt_parts == base
    salts = {base}
    for other in (
        {"name": "k"},
        {"per": "ip"},
        {"per": ["account", "ip"]},
        {"per": ["ip", "account"]},
        {"per": []},
        {"rate": "10/hour"},
        {"algorithm": "sliding-window"},
        {"algorithm": "fixed-window"},
        {"unit": "tokens"},
        {"unit": "messages"},
        {"unit": "distinct:network"},
    ):
        salts.add(rules_of(**{"rate": "10/minute", **other})[0].salt_parts)
    assert len(salts) == 12


def test_two_names_of_partitions_never_read_as_one() -> None:
    tree: dict[str, Any] = {"version": 1, "identities": {}, "limit": []}
    for name in ("a", "b", "a_b", "b_a"):
        tree["identities"][name] = {"from": f"header:{name.replace('_', '-')}"}
    shapes = [[], ["a"], ["a", "b"], ["a_b"], ["b_a"], ["b", "a"]]
    salts = set()
    for per in shapes:
        tree["limit"] = [{"name": "l", "per": per, "rate": "1/second"}]
        salts.add(Policy.from_mapping(tree).compiled.rules[0].salt_parts)
    assert len(salts) == len(shapes)


def test_identities_have_positions_and_ip_and_cluster_are_always_there() -> None:
    tree = {
        "version": 1,
        "identities": {
            "account": {"from": ["header:X-API-Key", "cookie:Sid", "state:acc"]},
            "ip": {"from": "client/32/56", "missing": "skip"},
            "user": {
                "from": "resolver:app.auth:user",
                "cache": "header:Authorization for 5m",
            },
        },
        "limit": [{"name": "l", "per": ["user", "ip", "account"], "rate": "1/second"}],
    }
    compiled = Policy.from_mapping(tree).compiled
    account, ip, user, young, actor, likely, cluster = compiled.identities
    assert [spec.index for spec in compiled.identities] == [0, 1, 2, 3, 4, 5, 6]
    assert account.sources == (
        SourceSpec("header", "x-api-key"),
        SourceSpec("cookie", "Sid"),
        SourceSpec("state", "acc"),
    )
    assert (account.missing, ip.missing, cluster.missing) == ("client", "skip", "skip")
    assert (ip.v4_prefix, ip.v6_prefix) == (32, 56)
    assert user.sources == (SourceSpec("resolver", "app.auth:user"),)
    assert user.cache == CacheSpec(300 * SECOND, 10_000, SourceSpec("header", "authorization"))
    assert {spec.sources for spec in (young, actor, likely, cluster)} == {(SourceSpec("cluster"),)}
    assert (compiled.young, compiled.actor, compiled.likely, compiled.cluster) == (3, 4, 5, 6)
    assert compiled.rules[0].per == (2, 1, 0)
    assert compiled.identity_index("nobody") == -1


@pytest.mark.parametrize("settings", [{}, {"cache": "client for 0s"}])
def test_a_resolver_is_not_cached_without_a_key_or_with_time_for_nothing(
    settings: dict[str, Any],
) -> None:
    tree = {
        "version": 1,
        "identities": {"user": {"from": "resolver:user", **settings}},
        "limit": [{"name": "l", "per": "user", "rate": "1/second"}],
    }
    assert Policy.from_mapping(tree).compiled.identities[0].cache is None


def test_client_identities_refuse_without_an_address_unless_told_otherwise() -> None:
    """A missing address is never one shared bucket by accident."""
    compiled = Policy.from_mapping(
        {"version": 1, "limit": [{"name": "l", "per": "ip", "rate": "1/second"}]}
    ).compiled
    assert compiled.identities[compiled.identity_index("ip")].missing == "refuse"


def test_lists_and_trust_are_parsed() -> None:
    tree = {
        "version": 1,
        "proxies": ["10.1.2.3", "2001:db8::/32", "unix", "::ffff:192.0.2.0/120", "forwarded"],
        "identities": {"account": {"from": "header:x"}},
        "allow": {"ip": ["192.0.2.0/24", "192.0.2.0/24"], "account": ["a", "b", "a"]},
        "deny": {"ip": ["198.51.100.9"]},
    }
    compiled = Policy.from_mapping(tree).compiled
    assert [str(network) for network in compiled.trust.networks] == [
        "10.1.2.3/32",
        "2001:db8::/32",
        "192.0.2.0/24",
    ]
    assert (compiled.trust.unix, compiled.trust.header) == (True, "forwarded")
    assert [str(network) for network in compiled.allow.networks] == ["192.0.2.0/24"]
    assert compiled.allow.values == ((0, "a"), (0, "b"))
    assert bool(compiled.deny)
    assert not Policy.from_mapping({"version": 1}).compiled.deny


@pytest.mark.parametrize(
    ("key", "spec"),
    [
        (None, None),
        ("env:RATELIMIT_KEY", KeySpec("env", "RATELIMIT_KEY")),
        ("file:/run/secrets/key", KeySpec("file", "/run/secrets/key")),
        ("00112233445566778899aAbBcCdDeEfF", KeySpec("hex", "00112233445566778899aAbBcCdDeEfF")),
    ],
)
def test_the_hash_key_is_named_and_not_read(key: str | None, spec: KeySpec | None) -> None:
    tree = {"version": 1, "hashing": {} if key is None else {"key": key}}
    assert Policy.from_mapping(tree).compiled.hash_key == spec


def test_what_is_correlated_is_known_by_position() -> None:
    tree = {
        "version": 1,
        "identities": {
            "account": {"from": "header:x"},
            "card": {"from": "state:card", "missing": "skip"},
            "network": {"from": "client/24/64"},
        },
        "correlation": {
            "principal": "account",
            "payment": "card",
            "network": ["ip", "network"],
        },
    }
    compiled = Policy.from_mapping(tree).compiled
    spec = compiled.correlation
    assert spec is not None
    ip = compiled.identity_index("ip")
    assert (spec.principal, spec.kinds) == ((0,), (ip, 2, 1, -1, -1, -1, -1, -1))
    assert compiled.identities[compiled.cluster].name == "cluster"
    assert Policy.from_mapping({"version": 1}).compiled.correlation is None


def test_a_file_knows_its_path_and_a_text_has_none(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text('version = 1\n[[limit]]\nname = "l"\nper = "ip"\nrate = "1/second"\n')
    policy = Policy.load(file)
    assert (policy.name, policy.path, policy.warnings) == (str(file), str(file), ())
    assert Policy.from_toml(file.read_text()).path is None
    assert policy.compiled.file == Policy.from_toml(file.read_text()).compiled.file


def test_an_unreadable_file_is_a_policy_error(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(PolicyError) as caught:
            Policy.load(path)
        assert caught.value.code == "policy-unreadable"
        assert str(path) in str(caught.value)


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_bytes(b"version = 1\n" + b"#" * (MAX_BYTES - 12))
    assert Policy.load(file).compiled.limits == ()
    file.write_bytes(b"version = 1\n" + b"#" * (MAX_BYTES - 11))
    with pytest.raises(PolicyError) as caught:
        Policy.load(file)
    assert caught.value.code == "policy-size"


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_bytes(b"version = 1\n\xff\xfe")
    with pytest.raises(PolicyError) as caught:
        Policy.load(file)
    assert (caught.value.code, caught.value.problems[0].line) == ("policy-encoding", 2)


def clustered(**limit: Any) -> list[LimitRule]:
    tree = {
        "version": 1,
        "limit": [{"name": "l", "per": "cluster", "rate": "5/day", **limit}],
        "identities": {"account": {"from": "header:x"}},
        "correlation": {"principal": "account", "network": "ip", "client": "account"},
    }
    tree["identities"]["account"]["missing"] = "skip"  # type: ignore[index]
    return list(Policy.from_mapping(tree).compiled.rules)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ({}, [("certain", False, (5,), False), ("certain", True, (4,), True)]),
        ({"per": "cluster:certain"}, [("certain", False, (5,), False), ("certain", True, (4,), True)]),
        ({"per": "cluster:likely"}, [("likely", False, (3,), False)]),
        ({"per": "cluster:young"}, [("young", False, (2,), False)]),
        ({"mode": "shadow"}, [("certain", False, (5,), True), ("certain", True, (4,), True)]),
        (
            {"per": ["account", "cluster"]},
            [("certain", False, (0, 5), False), ("certain", True, (0, 4), True)],
        ),
        ({"per": ["cluster:likely", "ip"]}, [("likely", False, (3, 1), False)]),
        ({"per": "account"}, [(None, False, (0,), False)]),
        ({"per": "account", "unit": "distinct:cluster"}, [(None, False, (0,), False)]),
    ],
)
def test_limit_per_cluster_counts_by_whom_it_binds(limit: dict[str, Any], expected: list[Any]) -> None:
    assert [(rule.verdict, rule.is_twin, rule.per, rule.shadow) for rule in clustered(**limit)] == expected


def test_each_rate_and_tier_has_a_twin_with_counters_of_its_own() -> None:
    rules = clustered(rate="5/day; 2/hour", tiers={"account": {"pro": {"rate": "50/day"}}})
    assert [(rule.name, rule.counter_name, rule.tier) for rule in rules] == [
        ("l", "l", None),
        ("l", "\x1flikely l", None),
        ("l#2", "l#2", None),
        ("l#2", "\x1flikely l#2", None),
        ("l", "l", "pro"),
        ("l", "\x1flikely l", "pro"),
    ]
    assert len({rule.salt_parts for rule in rules if rule.tier is None}) == 4


def test_twins_count_among_the_rules_a_request_may_fall_under() -> None:
    tree: dict[str, Any] = {
        "version": 1,
        "limit": [{"name": f"l{number}", "per": "cluster", "rate": "5/day"} for number in range(9)],
        "identities": {"account": {"from": "header:x"}},
        "correlation": {"principal": "account", "network": "ip"},
    }
    with pytest.raises(PolicyError, match="18 rules"):
        Policy.from_mapping(tree)
    for limit in tree["limit"]:
        limit["per"] = "cluster:likely"
    assert len(Policy.from_mapping(tree).compiled.rules) == 9


@pytest.mark.parametrize(("count", "fits"), [(57, True), (58, False)])
def test_identities_there_is_no_place_for_are_an_error_of_the_policy(count: int, fits: bool) -> None:
    identities = {f"i{number}": {"from": f"header:x-{number}"} for number in range(count)}
    tree = {"version": 1, "limit": [{"name": "l", "per": "ip", "rate": "5/day"}], "identities": identities}
    if fits:
        limiter = Limiter(Policy.from_mapping({**tree, "store": {"memory": "private"}}))
        assert limiter.decide(client="192.0.2.1").allowed
        limiter.close()
    else:
        with pytest.raises(PolicyError, match="59 identities; 58 are the most"):
            Policy.from_mapping(tree)
