"""Every mistake has its code, line and key, all told at once. In one file, since it is one table."""

from __future__ import annotations

from pathlib import Path

import pytest

from ratelimit.codes import every_code
from ratelimit.errors import PolicyError
from ratelimit.features.parts import parts
from ratelimit.policy import Policy, Problem
from tests.declarations.test_known_problems import CASES as KNOWN_CASES
from tests.policy import (
    test_adaptive,
    test_metering,
    test_remote,
    test_usage_tables,
    test_waits,
    test_wrong_values,
)

ACCOUNT = 'account = { from = "header:x-api-key" }'


def problems_of(text: str) -> tuple[Problem, ...]:
    try:
        return Policy.from_toml(text, "p.toml").warnings
    except PolicyError as error:
        return error.problems


def limit(*lines: str) -> str:
    """Return a policy of one limit; the first extra line is its fifth."""
    return "\n".join(["version = 1", "[[limit]]", 'name = "l"', 'per = "ip"', *lines])


def identity(line: str, per: str = "x") -> str:
    return f'version = 1\n[[limit]]\nname = "l"\nper = "{per}"\nrate = "1/second"\n[identities]\n{line}\n'


RATE = 'rate = "10/minute"'
SECOND = '[[limit]]\nname = "m"\nper = "ip"'


def clustered(young: str) -> str:
    """Return a policy of a limit per cluster for /v1, and one for young clusters."""
    text = limit(f'{RATE}\nmatch = "/v1/*"').replace('"ip"', '"cluster"')
    text += f'\n[[limit]]\nname = "m"\nper = "cluster:young"\n{RATE}\nmatch = "{young}"\n'
    return text + '[identities]\naccount = { from = "header:a" }\n[correlation]\nprincipal = "account"\n'


TANGLED = [f"/{'*/' * depth}x/*" for depth in range(20)]


def crowded(limits: int) -> str:
    row = '[[limit]]\nname = "l{0}"\nper = "ip"\nrate = "{0}/minute"\nmatch = "/a/*"'
    return "version = 1\n" + "\n".join(map(row.format, range(1, limits + 1)))


def correlation(line: str, missing: str = "client") -> str:
    """Return a policy with a correlation that has a principal and one line more, the sixth."""
    agent = f"agent = {{ from = 'header:user-agent', missing = '{missing}' }}"
    return f"version = 1\n[identities]\n{agent}\n[correlation]\nprincipal = 'ip'\n{line}"


# code, policy, line, key
LONG = "{ above = 9, input = 1, output = 2 }"
CASES = [
    ("policy-syntax", "version = 1\nlimit = [", 2, ""),
    ("policy-version", "version = 2", 1, "version"),
    ("policy-missing-key", "[store]", 1, "version"),
    ("policy-missing-key", 'version = 1\n[[limit]]\nper = "ip"\nrate = "1/second"', 2, "limit[0].name"),
    ("policy-unknown-key", limit(RATE, 'burts = "3"'), 6, "limit[0].burts"),
    ("policy-unknown-key", "version = 1\n[stroe]\nkeys = 3", 2, "stroe"),
    ("policy-type", limit("rate = 5"), 5, "limit[0].rate"),
    ("policy-type", "version = 1\nlimit = [3]", 2, "limit[0]"),
    ("policy-type", "version = 1\nidentities = 3", 2, "identities"),
    ("policy-type", "version = 1\n[allow]\nip = [\n'192.0.2.1',\n3]", 5, "allow.ip[1]"),
    ("policy-type", limit(RATE, "algorithm = 1"), 6, "limit[0].algorithm"),
    ("limit-algorithm", limit(RATE, 'algorithm = "calender"'), 6, "limit[0].algorithm"),
    ("policy-type", limit(RATE, "cost = 1.0"), 6, "limit[0].cost"),
    ("policy-value", limit(RATE, "burst = 0"), 6, "limit[0].burst"),
    ("policy-value", limit(RATE, "burst = inf"), 6, "limit[0].burst"),
    ("policy-value", limit(RATE, "burst = nan"), 6, "limit[0].burst"),
    ("policy-value", limit(RATE, "mode = nan"), 6, "limit[0].mode"),
    ("policy-value", limit(RATE, "mode = inf"), 6, "limit[0].mode"),
    ("policy-value", limit(RATE, "mode = -0.5"), 6, "limit[0].mode"),
    ("policy-value", limit(RATE, "cost = -1"), 6, "limit[0].cost"),
    ("policy-value", limit(RATE, 'mode = "shadwo"'), 6, "limit[0].mode"),
    ("policy-value", "version = 1\n[store]\nkeys = 1", 3, "store.keys"),
    ("policy-value", "version = 1\n[deny]\naccount = ['']\n[identities]\n" + ACCOUNT, 3, "deny.account[0]"),
    ("policy-depth", "version = 1\nx = " + "[" * 20 + "]" * 20, 2, "x"),
    ("policy-text-length", limit(RATE, f'algorithm = "{"z" * 5000}"'), 6, "limit[0].algorithm"),
    ("policy-empty", "version = 1", 1, "limit"),
    ("policy-too-many", "version = 1\n" + 257 * limit(RATE).partition("\n")[2].join("\n\n"), 3, "limit"),
    ("identity-name", identity('"X-Y" = { from = "client" }', "ip"), 7, "identities.X-Y"),
    ("identity-name", identity('cluster = { from = "client" }', "ip"), 7, "identities.cluster"),
    ("identity-source", identity('x = { from = "headre:x" }'), 7, "identities.x.from"),
    ("identity-source", identity('x = { from = "header" }'), 7, "identities.x.from"),
    ("identity-source", identity('x = { from = "header:no spaces" }'), 7, "identities.x.from"),
    ("identity-source", identity('x = { from = "cookie:a=b" }'), 7, "identities.x.from"),
    ("identity-source", identity('x = { from = "path:{tenant}" }'), 7, "identities.x.from"),
    ("identity-source", identity('x = { from = "resolver:" }'), 7, "identities.x.from"),
    ("identity-form", identity('x = { from = "header:x as integer" }'), 7, "identities.x.from"),
    ("identity-source", identity('x = { from = ["header:a",\n"nothing:b"] }'), 8, "identities.x.from[1]"),
    ("identity-source", identity("x = { from = [] }"), 7, "identities.x.from"),
    ("policy-missing-key", identity("x = { missing = 'skip' }"), 7, "identities.x.from"),
    ("identity-unknown", limit(RATE).replace('"ip"', '"ipp"'), 4, "limit[0].per"),
    ("identity-unknown", limit(RATE).replace('"ip"', '["ip", "everyone"]'), 4, "limit[0].per[1]"),
    ("identity-unknown", limit(RATE, 'tiers.plan.a = "1/second"'), 6, "limit[0].tiers.plan"),
    ("identity-unknown", limit(RATE, 'unit = "distinct:network"'), 6, "limit[0].unit"),
    ("identity-unknown", "version = 1\n[deny]\nacount = ['x']", 3, "deny.acount"),
    ("identity-unknown", 'version = 1\n[correlation]\nprincipal = "account"', 3, "correlation.principal"),
    ("identity-unknown", correlation('payment = "card"'), 6, "correlation.payment"),
    ("correlation-principal", "version = 1\n[correlation]\nnetwork = 'ip'", 3, "correlation.network"),
    ("correlation-missing", correlation('client = "agent"'), 6, "correlation.client"),
    ("policy-value", correlation('snapshot = " "'), 6, "correlation.snapshot"),
    ("policy-unknown-key", correlation('costly = ["device"]'), 6, "correlation.costly"),
    ("identity-unknown", correlation('extra = ["device:costly"]'), 6, "correlation.extra[0]"),
    ("correlation-families", correlation('network = "ip"'), 4, "correlation"),
    ("correlation-created", correlation('created = "cookie:since"'), 6, "correlation.created"),
    ("correlation-created", correlation('paid = "cookie:paid"'), 6, "correlation.paid"),
    ("identity-missing", identity('x = { from = "client", missing = "client" }'), 7, "identities.x.missing"),
    ("identity-shared", identity('x = { from = "header:x", missing = "shared" }'), 7, "identities.x.missing"),
    ("metrics-refused", identity('x = { from = "header:x", missing = "refuse" }'), 7, "identities.x.missing"),
    (
        "identity-setting-unused",
        identity('x = { from = "header:x", cache = "client" }'),
        7,
        "identities.x.cache",
    ),
    ("identity-source", identity('x = { from = "client/33/64" }'), 7, "identities.x.from"),
    ("identity-source", identity('x = { from = "client/24" }'), 7, "identities.x.from"),
    (
        "identity-cache",
        identity('x = { from = "resolver:x", cache = "client for soon" }'),
        7,
        "identities.x.cache",
    ),
    (
        "identity-cache",
        identity('x = { from = "resolver:x", cache = "client for 2d" }'),
        7,
        "identities.x.cache",
    ),
    (
        "identity-cache",
        identity('x = { from = "resolver:x", cache = "resolver:y" }'),
        7,
        "identities.x.cache",
    ),
    ("policy-value", 'version = 1\nevents = ["log",\n"/var/log/x"]', 3, "events[1]"),
    ("policy-value", 'version = 1\nevents = ["stderr", "file:x"]', 2, "events[1]"),
    ("policy-unknown-key", 'version = 1\n[store]\nevents = ["log"]', 3, "store.events"),
    ("identity-unused", identity('x = { from = "header:x" }', "ip"), 7, "identities.x"),
    ("path-parameter-unknown", identity('x = { from = "path:tenant" }'), 2, "limit[0].match"),
    (
        "path-parameter-ambiguous",
        'version = 1\n[identities]\nt = { from = "path:t" }\n'
        '[[limit]]\nname = "a"\nper = "t"\nrate = "1/second"\nmatch = "/{t}/*"\n'
        '[[limit]]\nname = "b"\nper = "t"\nrate = "2/second"\nmatch = "/v1/{t}"',
        13,
        "limit[1].match",
    ),
    ("limit-name", limit(RATE).replace('"l"', '"é"'), 3, "limit[0].name"),
    ("limit-name", limit(RATE).replace('"l"', '"a\\nb"'), 3, "limit[0].name"),
    ("limit-name", limit(RATE).replace('"l"', '"a#2"'), 3, "limit[0].name"),
    ("policy-value", limit(RATE).replace('"l"', '""'), 3, "limit[0].name"),
    ("limit-name-duplicate", limit(RATE) + "\n" + limit('rate = "1/hour"')[12:], 7, "limit[1].name"),
    ("limit-no-rate", limit(), 2, "limit[0].rate"),
    ("limit-no-rate", limit('unit = "distinct:ip"').replace('per = "ip"', "per = []"), 2, "limit[0].rate"),
    ("limit-conflict", limit(RATE, "concurrent = 3"), 5, "limit[0].rate"),
    ("limit-conflict", limit("concurrent = 3", 'unit = "distinct:ip"'), 6, "limit[0].unit"),
    ("limit-conflict", limit("concurrent = 3", 'algorithm = "sliding-log"'), 6, "limit[0].algorithm"),
    ("limit-conflict", limit("concurrent = 3", 'unit = "tokens"'), 6, "limit[0].unit"),
    ("limit-conflict", limit("concurrent = 3", 'unit = "messages"'), 6, "limit[0].unit"),
    ("limit-conflict", limit("concurrent = 3", "cost = 2"), 6, "limit[0].cost"),
    ("limit-conflict", limit(RATE, 'algorithm = "concurrency"'), 6, "limit[0].algorithm"),
    ("limit-conflict", limit(RATE, 'algorithm = "distinct"'), 6, "limit[0].algorithm"),
    ("limit-earned", limit(RATE, 'budget = "overflow"'), 6, "limit[0].budget"),
    ("limit-earned", limit(RATE, "budget = { per_usd = 1 }"), 6, "limit[0].budget.per_usd"),
    ("limit-earned", limit(RATE, "budget = { growth = 3 }"), 6, "limit[0].budget.growth"),
    ("limit-per", limit(RATE).replace('"ip"', '["ip", "ip"]'), 4, "limit[0].per"),
    ("limit-per", limit(RATE, 'unit = "distinct:ip"'), 6, "limit[0].unit"),
    ("rate-syntax", limit('rate = "10 an hour"'), 5, "limit[0].rate"),
    ("rate-zero", limit('rate = "0/minute"'), 5, "limit[0].rate"),
    ("rate-period", limit('rate = "1 per 367 days"'), 5, "limit[0].rate"),
    ("rate-too-high", limit('rate = "17179869184/second"', 'algorithm = "fixed-window"'), 5, "limit[0].rate"),
    ("rate-too-high", limit('rate = "1000000001/second"'), 5, "limit[0].rate"),
    ("rate-too-high", limit('rate = "4097/second"', 'algorithm = "sliding-log"'), 5, "limit[0].rate"),
    (
        "rate-too-high",
        limit('rate = "4294967296/second"', 'algorithm = "sliding-window"'),
        5,
        "limit[0].rate",
    ),
    ("rate-too-high", limit("concurrent = 4097"), 5, "limit[0].concurrent"),
    ("rate-repeated", limit('rate = "1/minute; 50 per 60 seconds"'), 5, "limit[0].rate"),
    ("limit-burst", limit(RATE, 'algorithm = "fixed-window"', "burst = 5"), 7, "limit[0].burst"),
    ("limit-burst", limit(RATE, 'algorithm = "staggered-window"', "burst = 5"), 7, "limit[0].burst"),
    ("limit-burst-too-high", limit(RATE, 'algorithm = "fixed-window"', "burst = 1000"), 7, "limit[0].burst"),
    ("limit-conflict", limit(RATE, 'algorithm = "carried-window"'), 6, "limit[0].algorithm"),
    ("limit-burst", limit('rate = "1/second; 5/hour"', "burst = 5"), 6, "limit[0].burst"),
    ("limit-burst-too-high", limit('rate = "1/year"', "burst = 5"), 6, "limit[0].burst"),
    ("limit-cost-above-burst", limit(RATE, "burst = 5", "cost = 6"), 7, "limit[0].cost"),
    ("limit-cost-above-burst", limit(RATE, 'unit = "t"', "cost = 11"), 7, "limit[0].cost"),
    ("limit-unit", limit(RATE, 'unit = "message"'), 6, "limit[0].unit"),
    ("limit-cost-unit", limit(RATE, 'cost = "declared"'), 6, "limit[0].cost"),
    ("limit-cost-zero", limit(RATE, "cost = 0"), 6, "limit[0].cost"),
    (
        "limit-calendar",
        limit('rate = "1 per 2 days"', 'algorithm = "calendar"'),
        5,
        "limit[0].rate",
    ),
    (
        "limit-calendar",
        limit('rate = "1/second"', 'algorithm = "calendar"'),
        5,
        "limit[0].rate",
    ),
    (
        "limit-zone",
        limit('rate = "1/day"', 'algorithm = "calendar:Europe/Brelin"'),
        6,
        "limit[0].algorithm",
    ),
    ("limit-zone", limit(RATE, 'algorithm = "calendar:../../etc/passwd"'), 6, "limit[0].algorithm"),
    (
        "limit-conflict",
        limit(RATE, "adaptive = true", 'on_refusal = ["refuse", "wait", "observe"]'),
        7,
        "limit[0].on_refusal",
    ),
    ("limit-conflict", limit(RATE, 'on_refusal = ["observe"]'), 6, "limit[0].on_refusal[0]"),
    ("limit-conflict", limit(RATE, "on_refusal = []"), 6, "limit[0].on_refusal"),
    ("limit-conflict", limit(RATE, 'on_refusal = ["refuse", "refuse"]'), 6, "limit[0].on_refusal"),
    ("limit-match", limit(RATE, 'match = "GET v1"'), 6, "limit[0].match"),
    ("limit-match", limit(RATE, 'match = ["/a",\n"/{id:int}"]'), 7, "limit[0].match[1]"),
    ("limit-match", limit(RATE, 'except = "/a?b=c"'), 6, "limit[0].except"),
    ("limit-method-unknown", limit(RATE, 'match = "PSOT /v1/*"'), 6, "limit[0].match"),
    ("limit-method-unknown", limit(RATE, 'match = ["/a",\n"GET|BREW /b"]'), 7, "limit[0].match[1]"),
    ("limit-method-unknown", limit(RATE, 'except = "PSOT /v1/*"'), 6, "limit[0].except"),
    ("limit-never-matches", limit(RATE, 'match = "GET /a"', 'except = "/*"'), 6, "limit[0].match"),
    ("limit-never-matches", limit(RATE, 'match = "POST /a"', 'unit = "messages"'), 6, "limit[0].match"),
    ("limit-never-binds", limit(RATE).replace('"ip"', '"cluster"'), 4, "limit[0].per"),
    ("limit-never-binds", limit(RATE, "mode = 0"), 6, "limit[0].mode"),
    ("limit-young", clustered("/v1/a"), 6, "limit[0].match"),
    ("limit-duplicate", limit(RATE, SECOND, RATE), 9, "limit[1].rate"),
    ("limit-shadowed", limit(RATE, SECOND, 'rate = "20/minute"'), 9, "limit[1].rate"),
    ("limit-shadowed", limit('rate = "20/minute"', SECOND, RATE), 5, "limit[0].rate"),
    ("routing-root", 'version = 1\nroot_paths = ["/api", "api"]', 2, "root_paths[1]"),
    ("routing-root", 'version = 1\nroot_paths = ["//"]', 2, "root_paths[0]"),
    ("match-too-complex", limit(RATE, f"match = {TANGLED}"), 2, "limit"),
    ("limit-too-many-rules", crowded(17), 2, "limit"),
    ("tier-incomplete", limit(RATE, "tiers.ip = {}"), 6, "limit[0].tiers.ip"),
    ("tier-incomplete", limit(RATE, 'tiers = { ip = { a = "1/day" }, b = {} }'), 6, "limit[0].tiers"),
    ("tier-numbers", limit(RATE, "[limit.tiers.ip.a]"), 6, "limit[0].tiers.ip.a"),
    ("rate-syntax", limit(RATE, 'tiers.ip.a = "unlimted"'), 6, "limit[0].tiers.ip.a.rate"),
    ("tier-numbers", limit(RATE, "tiers.ip.a.concurrent = 3"), 6, "limit[0].tiers.ip.a.concurrent"),
    ("rate-syntax", limit(RATE, 'tiers.ip.a.rate = "x"'), 6, "limit[0].tiers.ip.a.rate"),
    (
        "limit-cost-above-burst",
        limit(RATE, "cost = 9", "tiers.ip.a.burst = 8"),
        7,
        "limit[0].tiers.ip.a",
    ),
    (
        "address-syntax",
        "version = 1\nproxies = ['10.0.0.0/8',\n'10.0.0.0.1']",
        3,
        "proxies[1]",
    ),
    ("address-syntax", "version = 1\n[deny]\nip = ['192.0.2.0/33']", 3, "deny.ip[0]"),
    ("address-host-bits", "version = 1\n[deny]\nip = ['192.0.2.1/24']", 3, "deny.ip[0]"),
    (
        "list-contradiction",
        "version = 1\n[allow]\nip = ['192.0.2.0/24']\n[deny]\nip = ['192.0.2.7']",
        5,
        "deny.ip[0]",
    ),
    (
        "list-contradiction",
        f"version = 1\n[identities]\n{ACCOUNT}\n[allow]\naccount = ['a']\n[deny]\naccount = ['b', 'a']",
        7,
        "deny.account[1]",
    ),
    ("list-value", f"version = 1\n[deny]\naccount = ['é']\n[identities]\n{ACCOUNT}", 3, "deny.account[0]"),
    (
        "price-long",
        f"version = 1\n[prices]\nm = [{{ input = 1, output = 2 }}, {', '.join([LONG] * 2)}]",
        3,
        "prices.m",
    ),
    ("price-refuse", "version = 1\n[prices]\nm = 'refuse'", 3, "prices.m"),
    (
        "price-pattern",
        "version = 1\n[prices]\n'a*b' = { input = 1, output = 2 }\n'ab*' = { input = 1, output = 2 }",
        4,
        "prices.'ab*'",
    ),
    (
        "price-tier",
        "version = 1\n[prices.m]\ninput = 1\noutput = 2\nservice_tiers = { default = 2 }",
        5,
        "prices.m.service_tiers",
    ),
    ("list-everyone", "version = 1\n[allow]\nip = ['0.0.0.0/1', '128.0.0.0/1']", 2, "allow"),
    ("list-identity", "version = 1\n[deny]\ncluster = ['x']", 3, "deny.cluster"),
    ("trust-everyone", "version = 1\nproxies = ['0.0.0.0/0']", 2, "proxies"),
    ("trust-everyone", "version = 1\nproxies = ['::/1', '8000::/1']", 2, "proxies"),
    ("trust-wide", "version = 1\nproxies = ['0.0.0.0/4']", 2, "proxies[0]"),
    ("trust-translation", "version = 1\nproxies = ['nat64:::/95']", 2, "proxies[0]"),
    ("trust-header-unused", "version = 1\nproxies = ['forwarded']", 2, "proxies[0]"),
    ("policy-unknown-key", "version = 1\n[store]\nmemory = 'private'\npath = '/x'", 4, "store.path"),
    ("hashing-key", "version = 1\n[hashing]\nkey = 'secret'", 3, "hashing.key"),
    ("hashing-key", "version = 1\n[hashing]\nkey = 'env:'", 3, "hashing.key"),
    ("store-history-key", "version = 1\n[store]\nhistory = 'history.bin'", 3, "store.history"),
    ("hashing-key-inline", f"version = 1\n[hashing]\nkey = '{'0a' * 16}'", 3, "hashing.key"),
]


@pytest.mark.parametrize(
    ("code", "text", "line", "key"), CASES, ids=[f"{n}-{case[0]}" for n, case in enumerate(CASES)]
)
def test_each_mistake_is_told_with_code_line_and_key(code: str, text: str, line: int, key: str) -> None:
    found = [(problem.code, problem.line, problem.key) for problem in problems_of(text)]
    assert (code, line, key) in found
    assert all(problem.severity == every_code()[problem.code].severity for problem in problems_of(text))


TESTS = Path(__file__).parents[1]


def test_every_policy_code_has_a_case() -> None:
    others = (
        test_adaptive.CASES,
        test_metering.CASES,
        test_remote.CASES,
        test_usage_tables.CASES,
        test_waits.CASES,
        test_wrong_values.CASES,
        KNOWN_CASES,
    )
    told = {code for cases in (CASES, *others) for code, *_ in cases}
    elsewhere = {"policy-invalid", "policy-unreadable", "policy-encoding", "policy-size", "policy-fault"}
    for part in parts("schema"):  # a feature's own tests may have the cases of its codes
        folder = TESTS / part.__name__.split(".")[1]
        texts = "".join(path.read_text() for path in folder.rglob("test_*.py"))
        told |= {code for code in getattr(part, "CODES", {}) if f'"{code}"' in texts}
    assert '"tuning-file"' in (TESTS / "policy" / "test_joined_keys.py").read_text()
    told.add("tuning-file")
    texts = "".join(path.read_text() for path in (TESTS / "serving" / "domains").glob("test_*.py"))
    told |= {code for code in every_code() if code.startswith("descriptors-") and f'"{code}"' in texts}
    assert told | elsewhere == {code for code, entry in every_code().items() if entry.branch == "policy"}


def test_all_mistakes_are_told_at_once_and_in_order() -> None:
    text = """version = 1
proxies = ["0.0.0.0/0", "?"]
[identities]
a = { from = "headr:x" }
[[limit]]
name = "one"
per = "b"
rate = "x"
[[limit]]
name = "one"
per = 3
burst = "many"
frob = 1
"""
    found = [(problem.line, problem.code) for problem in problems_of(text)]
    assert found == [
        (2, "address-syntax"),
        (2, "trust-everyone"),
        (4, "identity-source"),
        (7, "identity-unknown"),
        (8, "rate-syntax"),
        (9, "limit-no-rate"),
        (10, "limit-name-duplicate"),
        (11, "policy-type"),
        (12, "policy-type"),
        (13, "policy-unknown-key"),
    ]


def test_a_value_of_the_wrong_type_is_not_also_called_missing() -> None:
    assert [problem.code for problem in problems_of(limit("rate = 5"))] == ["policy-type"]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (limit(RATE, "brust = 3"), "Did you mean `burst`?"),
        (limit(RATE).replace('"ip"', '"iip"'), "Did you mean `ip`?"),
        (limit(RATE, 'mode = "shadwo"'), "Did you mean `shadow`?"),
        (limit(RATE).replace('"ip"', '"everyone"'), "For one counter for everyone write `per = []`."),
        (identity('x = { from = "cooky:sid" }'), "Did you mean `cookie`?"),
        (limit(RATE, 'match = "/u/{id:int}"'), "Write `{id}`."),
        (limit(RATE, 'match = "/f/{p:path}"'), "Write `*` (last)."),
        (limit(RATE, 'match = "POST"'), "Write `POST /*` for any path."),
        (limit(RATE, 'match = "users"'), "Write `/users`."),
        (limit(RATE, 'match = "PSOT /v1/*"'), "Did you mean `POST`?"),
        (limit(RATE, 'match = "BREW /pot"'), every_code()["limit-method-unknown"].remedy),
        (limit(RATE, 'algorithm = "concurrency"'), "Add `concurrent`."),
        (limit(RATE, 'algorithm = "distinct"'), 'Add `unit = "distinct:NAME"`.'),
        (limit(RATE).replace("[[limit]]", "[limit]"), "Write `[[limit]]`, with two brackets."),
    ],
)
def test_the_right_word_is_proposed(text: str, hint: str) -> None:
    assert hint in [problem.hint for problem in problems_of(text)]


def test_secrets_in_a_policy_are_not_repeated_in_its_problems() -> None:
    text = f"""version = 1
[identities]
{ACCOUNT}
[allow]
account = ["sk-secret-1"]
[deny]
account = ["sk-secret-1"]
[hashing]
key = "sk-secret-2"
"""
    problems = problems_of(text)
    assert {"list-contradiction", "hashing-key"} <= {problem.code for problem in problems}
    assert "sk-secret" not in "\n".join(map(str, problems))


def test_a_problem_is_one_line_of_printable_text_whatever_the_file_says() -> None:
    text = limit(RATE, 'match = "GET /a\\u001b[31m /b\\n"', '"k\\n\\u001bz" = 1').replace('"ip"', '"i\\np"')
    problems = problems_of(text)
    assert {"limit-match", "policy-unknown-key", "identity-unknown"} <= {problem.code for problem in problems}
    assert all(str(problem).isprintable() for problem in problems)


def test_an_error_of_several_is_called_invalid_and_shows_them() -> None:
    with pytest.raises(PolicyError) as caught:
        Policy.from_toml(limit("rate = 5", "frob = 1"), "p.toml")
    assert caught.value.code == "policy-invalid"
    assert "p.toml:5: error: limit[0].rate" in str(caught.value)
    assert "p.toml:6: error: limit[0].frob" in str(caught.value)
    with pytest.raises(PolicyError) as caught:
        Policy.from_toml(limit("rate = 5"), "p.toml")
    assert caught.value.code == "policy-type"


def test_warnings_do_not_stop_a_policy() -> None:
    policy = Policy.from_toml(limit(RATE, "cost = 0"))
    assert [warning.code for warning in policy.warnings] == ["limit-cost-zero"]


def test_a_mapping_has_keys_and_no_lines() -> None:
    with pytest.raises(PolicyError) as caught:
        Policy.from_mapping({"version": 1, "limit": [{"name": "x", "per": "ip", "rate": 3}]})
    (problem,) = caught.value.problems
    assert (problem.line, problem.key, problem.file) == (None, "limit[0].rate", "<mapping>")
    assert str(problem).startswith("<mapping>: error: limit[0].rate:")


@pytest.mark.parametrize(
    "tree", [{1: 2}, {"version": 1, "limit": ({},)}, {"version": object()}, {"version": None}]
)
def test_any_mapping_gives_problems_and_never_another_exception(tree: dict[str, object]) -> None:
    with pytest.raises(PolicyError):
        Policy.from_mapping(tree)


@pytest.mark.parametrize(
    ("strict", "loose"),
    [
        ("10/minute", "20 per 2 minutes"),  # other periods bind at other times
        ("10/second; 100/hour", "20/second; 50/hour"),  # each is stricter somewhere
    ],
)
def test_limits_that_bind_at_different_times_are_not_called_shadowed(strict: str, loose: str) -> None:
    text = limit(f'rate = "{strict}"', SECOND, f'rate = "{loose}"')
    assert problems_of(text) == ()


def test_sixteen_rules_at_once_are_fine_and_seventeen_are_not() -> None:
    codes = [{problem.code for problem in problems_of(crowded(count))} for count in (16, 17)]
    assert "limit-too-many-rules" not in codes[0]
    assert "limit-too-many-rules" in codes[1]


def test_limits_that_never_meet_are_not_added_up() -> None:
    rows = [f'[[limit]]\nname = "l{n}"\nper = "ip"\nrate = "5/minute"\nmatch = "/a{n}/*"' for n in range(200)]
    assert problems_of("version = 1\n" + "\n".join(rows)) == ()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[store]\nkeys = 5", "5 is out of range: it must be a whole number from 64"),
        (
            "[[limit]]\nname = 'a'\nper = 'ip'\nrate = '5/minute'\nburst = 0",
            "0 is out of range: it must be a number above 0",
        ),
        (
            "[[limit]]\nname = 'a'\nper = 'ip'\nrate = '5/minute'\nmode = 1.5",
            "1.5 is out of range: it must be a number up to 1",
        ),
        (
            "[[limit]]\nname = ''\nper = 'ip'\nrate = '5/minute'",
            "`limit[0].name` is out of range: it must be text that is not empty",
        ),
        (
            "[[limit]]\nname = 'a'\nper = 'ip'\nrate = '5/minute'\non_store_error = 'close'",
            "`limit[0].on_store_error` is 'close'; it must be one of `local`, `open`, `closed`",
        ),
    ],
)
def test_bounds_and_choices_are_told_in_words(line: str, message: str) -> None:
    assert message in [problem.message for problem in problems_of(f"version = 1\n{line}\n")]


def test_young_clusters_are_bound_on_every_route() -> None:
    assert "limit-young" not in [problem.code for problem in problems_of(clustered("/v1/*"))]
