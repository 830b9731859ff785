"""One caller, many spellings: one budget, or that of the client's address, whichever way a request goes."""

from __future__ import annotations

import base64

import pytest

from tests.asgi.driver import Client, Pairs, limit, mount, rules

UUID = "0f8fad5b-d9cb-469f-a165-70867728950e"


@pytest.fixture(params=["short way", "long way"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let requests go through the compiled gate, and without it."""
    if request.param == "long way":
        monkeypatch.setattr("ratelimit.asgi.middleware.RateLimitMiddleware._new_gate", lambda *_: None)


def client_of(
    source: str, missing: str = "client", *, match: str = "/**", more: str = "", rate: int = 5
) -> Client:
    identities = f'caller = {{ from = "{source}", missing = "{missing}" }}'
    limits = limit(match=match, per="caller", rate=f"{rate}/hour")
    return mount(rules(limits, identities=identities, more=more)).client


async def served(client: Client, requests: list[Pairs], path: str = "/") -> int:
    """Return how many of these requests, each sent six times, were let through."""
    return [(await client(headers=headers, path=path)).status for headers in requests * 6].count(200)


def lines(*values: bytes, name: bytes = b"authorization") -> Pairs:
    return [(name, value) for value in values]


BEARER = [
    lines(b"Bearer KEY"),
    lines(b"bearer KEY"),
    lines(b"BEARER    KEY"),
    lines(b" Bearer KEY\t"),
    lines(b"Token KEY"),
    lines(b"anything KEY"),
    lines(b"Bearer KEY\xa0"),
    lines(b"Bearer KEY\x85"),
    lines(b"Bearer KEY\x1c"),
    lines(b"Bearer \xa0KEY"),
    lines(b"Bearer\tKEY"),
    lines(b"Bearer \tKEY"),
    lines(b"Bearer KEY\x0b"),
    lines(b"Bearer KEY\x0c"),
    lines(b"Bearer KEY", b"Bearer OTHER"),
    lines(b"Bearer KEY", b""),
    lines(b"", b"Bearer KEY"),
    lines(b"Bearer KEY,"),
    lines(b"Bearer KEY, Basic eDp5"),
    lines(b'Bearer token="KEY"'),
    lines(b"Bearer K EY"),
    lines("Bearer KEY\u2003".encode()),
    lines(b"Bearer KEY" + b" " * 5000),
    lines(b"Bearer" + b" " * 5000 + b"KEY"),
]
USER = b"user:pass"
BASIC = [
    lines(b"Basic " + base64.b64encode(USER)),
    lines(b"BASIC  " + base64.b64encode(USER)),
    *[
        lines(b"Basic " + base64.b64encode(USER)[:at] + junk + base64.b64encode(USER)[at:])
        for at in (0, 3, 12)
        for junk in (b"!", b"\xa0", b"-", b"_", b"\n", b"~~~~", b"=", b"*")
    ],
    lines(b"Basic " + base64.b64encode(USER) + b"="),
    lines(b"Basic " + base64.b64encode(USER) + b"===="),
    lines(b"Basic " + base64.b64encode(USER) + b"AAAA"),
]
TAILED = [
    lines(b"Basic dXM6cA=="),
    *[lines(b"Basic dXM6c" + last + b"==") for last in (b"B", b"C", b"P")],
    lines(b"Basic dXM6cA"),
    lines(b"Basic dXM6cA="),
]
COOKIES = (
    [
        lines(line, name=b"cookie")
        for line in (
            b"sid=S",
            b" sid = S ",
            b'sid="S"',
            b"sid=%53",
            b"a=1; sid=S",
            b'sid="\\123"',
            b"sid=S\xa0",
            b"sid=\x1cS",
        )
    ]
    + [lines(b"sid=S", b"sid=%d" % at, name=b"cookie") for at in range(9)]
    + [lines(b"sid=%d" % at, b"sid=S", name=b"cookie") for at in range(9)]
    + [lines(b"sid=S; sid=%d" % at, name=b"cookie") for at in range(9)]
    + [lines(b"sid=S; s%%69d=%d" % at, name=b"cookie") for at in range(9)]
    + [lines(b"sid=S; \xa0sid=%d" % at, name=b"cookie") for at in range(9)]
)
KEYS = [
    lines(*values, name=b"x-api-key")
    for values in (
        (b"K",),
        (b" K",),
        (b"K\t",),
        (b"K\xa0",),
        (b"K\x00",),
        (b"K", b"1"),
        (b"K", b"2"),
        (b"K\xc3\xa9",),
        (b"K\xe9",),
    )
]
SPELLINGS = {
    "bearer": ("header:authorization", BEARER),
    "basic": ("header:authorization", BASIC),
    "bits that are left over": ("header:authorization", TAILED),
    "cookie": ("cookie:sid", COOKIES),
    "key": ("header:x-api-key", KEYS),
}


@pytest.mark.parametrize("missing", ["client", "shared", "skip", "refuse"])
@pytest.mark.parametrize(("source", "spellings"), SPELLINGS.values(), ids=SPELLINGS)
async def test_spelling_makes_no_fresh_budget(source: str, spellings: list[Pairs], missing: str) -> None:
    """At most two budgets: the caller's, and that of what stands in."""
    client = client_of(source, missing)
    count = await served(client, spellings)
    assert 5 <= count <= 10
    assert await served(client, spellings) == 0
    # The budget of another caller is untouched.
    other = {
        "cookie:sid": lines(b"sid=other", name=b"cookie"),
        "header:x-api-key": lines(b"other", name=b"x-api-key"),
    }
    assert await served(client, [other.get(source, lines(b"Bearer other"))]) == 5


@pytest.mark.parametrize(("source", "spellings"), SPELLINGS.values(), ids=SPELLINGS)
async def test_spelling_is_no_way_round_the_deny_list(source: str, spellings: list[Pairs]) -> None:
    value = {"cookie:sid": "S", "header:x-api-key": "K"}.get(source, spellings[0][0][1].decode())
    client = client_of(source, "skip", more=f"[deny]\ncaller = ['{value}']", rate=1000)
    assert await served(client, spellings) == 0
    assert await served(client, [[]]) == 6


@pytest.mark.parametrize("form", ["int", "uuid"])
async def test_spelling_of_a_path_value_makes_no_fresh_budget(form: str) -> None:
    values = {
        "int": ["5", "05", "0005", "+5", " 5", "5 ", "5.0", "٥", "0_5", "5\n"],
        "uuid": [
            UUID,
            UUID.upper(),
            UUID.replace("-", ""),
            f"{{{UUID}}}",
            f"urn:uuid:{UUID}",
            UUID[:8] + UUID[9:],
        ],
    }[form]
    client = client_of(f"path:id as {form}", match="/t/{id}")
    statuses = [(await client(path=f"/t/{value}")).status for value in values * 5]
    assert 5 <= statuses.count(200) <= 10
    assert [(await client(path=f"/t/{value}")).status for value in values] == [429] * len(values)


async def test_listed_path_value_is_denied_in_every_spelling() -> None:
    client = client_of("path:id as uuid", match="/t/{id}", more=f"[deny]\ncaller = ['{UUID.upper()}']")
    for value in (UUID, UUID.upper(), UUID.replace("-", ""), f"{{{UUID}}}"):
        assert (await client(path=f"/t/{value}")).status == 403
    assert (await client(path="/t/0f8fad5b-d9cb-469f-a165-70867728950f")).status == 200


async def test_malformed_value_in_a_shadow_limit_refuses_nobody() -> None:
    identities = 'caller = { from = "header:x-api-key", missing = "skip" }'
    client = mount(rules(limit(per="caller", rate="1/hour", mode="shadow"), identities=identities)).client
    assert await served(client, [lines(b"K\xa0", name=b"x-api-key")]) == 6
    assert (await client(headers=lines(b"K\xa0", name=b"x-api-key"), peer=None)).status == 200


async def test_malformed_value_of_a_client_without_an_address_is_refused_and_not_skipped() -> None:
    client = client_of("header:x-api-key")
    assert (await client(headers=lines(b"K\xa0", name=b"x-api-key"), peer=None)).status == 403
    assert (await client(headers=[], peer=None)).status == 200
