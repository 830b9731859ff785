"""One request, one list of identities: scanned, by template behind proxies, and the slow way."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.core.request.scanner import MALFORMED_IDENTITY
from ratelimit.identity.extract import Extractor
from ratelimit.identity.fact import ABSENT, MALFORMED, REFUSED, Context, Fact, Missing
from ratelimit.identity.proxies import AddressRanges, ProxyChain
from ratelimit.lists.access import DENIED, UNLISTED, AccessLists
from tests.identity.test_extract import HASHER, NOBODY, PEER, extractor
from tests.identity.test_grammar import LINE

NAMES = (b"x-api-key", b"authorization", b"x-other")
HEADERS = st.lists(st.tuples(st.sampled_from(NAMES), LINE), max_size=3)
PEERS = st.sampled_from([PEER, "2001:db8::1", "testclient", None])
RULES: list[Missing] = ["client", "shared", "skip", "refuse"]


def facts(missing: Missing, *more: tuple[str, ...]) -> list[Fact]:
    return [
        Fact("key", (("header", "x-api-key"), *more), missing),
        Fact("credential", (("header", "authorization"), *more), missing),
    ]


def ways(missing: Missing, **options: Any) -> list[Extractor]:
    """Return three extractors that mean the same: compiled, by template, by source."""
    chain = ProxyChain(["10.0.0.0/8"], header="x-forwarded-for")
    other = ("state", "nothing")  # asked in vain, but not by the scanner
    return [
        extractor(*facts(missing), **options),
        extractor(*facts(missing), chain=chain, **options),
        extractor(*facts(missing, other), **options),
        extractor(*facts(missing, other), chain=chain, **options),
    ]


@pytest.mark.parametrize("missing", RULES)
@given(headers=HEADERS, peer=PEERS)
def test_all_ways_of_a_request_agree(
    missing: Missing, headers: list[tuple[bytes, bytes]], peer: str | None
) -> None:
    found = [way.extract(headers, peer) for way in ways(missing)]
    assert found == [found[0]] * 4
    assert MALFORMED not in found[0]


@given(headers=HEADERS, peer=PEERS)
def test_all_ways_agree_where_the_deny_list_names_values(
    headers: list[tuple[bytes, bytes]], peer: str | None
) -> None:
    denied = extractor(*facts("skip")).value_hash("credential", "Bearer KEY")
    lists = AccessLists(allow_ranges=NOBODY, deny_ranges=NOBODY, deny_values=[(1, denied)])
    found = [way.extract(headers, peer) for way in ways("skip", lists=lists)]
    assert found == [found[0]] * 4
    assert (found[0][-1] == DENIED) == (found[0][1] in (denied, MALFORMED))


def test_constant_of_the_core_is_ours() -> None:
    assert MALFORMED_IDENTITY == MALFORMED


BAD = [(b"authorization", b"Bearer KEY\xa0")]


@pytest.mark.parametrize("way", range(4))
def test_malformed_value_is_not_skipped_where_a_missing_one_is(way: int) -> None:
    """The application may read it, and would serve a caller without a limit."""
    one = ways("skip")[way]
    assert one.extract([], PEER)[1] == ABSENT
    found = one.extract(BAD, PEER)[1]
    assert found not in (ABSENT, REFUSED)
    assert found == ways("client")[way].extract([], PEER)[1]
    assert one.extract(BAD, None)[1] == REFUSED  # nothing is known to count it as


@pytest.mark.parametrize("way", range(4))
def test_malformed_value_is_no_evidence(way: int) -> None:
    one = ways("skip", evidence=[1])[way]
    assert one.extract(BAD, PEER)[1] == REFUSED
    assert one.extract([], PEER)[1] == ABSENT


def test_malformed_source_does_not_pass_the_word_to_the_next() -> None:
    """A client would otherwise keep its key, misspelt, and draw a fresh session for each request."""
    fact = Fact("caller", (("header", "authorization"), ("cookie", "sid"), ("state", "user")))
    walk = extractor(fact)
    missing = walk.extract([], PEER)[0]
    assert walk.extract([*BAD, (b"cookie", b"sid=fresh")], PEER, Context(state={"user": "u"}))[0] == missing
    assert walk.extract([(b"cookie", b"sid=a; sid=b")], PEER, Context(state={"user": "u"}))[0] == missing
    assert walk.extract([(b"authorization", b"")], PEER, Context(state={"user": "u"}))[0] == walk.value_hash(
        "caller", "u"
    )


def test_malformed_value_behind_a_client_source_is_that_client() -> None:
    walk = extractor(Fact("caller", (("header", "authorization"), ("client", "")), "refuse"))
    assert walk.extract(BAD, PEER)[0] == walk.extract([], PEER)[0] != REFUSED
    assert walk.extract(BAD, None)[0] == REFUSED


@pytest.mark.parametrize(
    ("form", "alike"),
    [
        ("int", ["5", "05", "0005"]),
        ("float", ["7", "7.0", "07.00"]),
        (
            "uuid",
            [
                "0f8fad5b-d9cb-469f-a165-70867728950e",
                "0F8FAD5B-D9CB-469F-A165-70867728950E",
                "0f8fad5bd9cb469fa16570867728950e",
            ],
        ),
        ("caseless", ["Straße", "STRASSE", "strasse"]),
    ],
)
def test_typed_value_is_one_whatever_its_source(form: str, alike: list[str]) -> None:
    for source in (("path", "id", form), ("header", "x-id", form), ("cookie", "id", form)):
        walk = extractor(Fact("id", (source,)))
        values = [value for value in alike if value.isascii() or source[0] == "path"]
        found = {
            walk.extract(
                [(b"x-id", value.encode()), (b"cookie", b"id=" + value.encode())],
                PEER,
                Context(params={"id": value}),
            )[0]
            for value in values
        }
        assert found == set(walk.value_hashes("id", values[0])), source
        assert found != {walk.extract([], PEER)[0]}


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("int", "+7"),
        ("int", " 7"),
        ("int", "7 "),
        ("int", "7.0"),
        ("int", "1_0"),
        ("int", "٧"),
        ("int", "0x7"),
        ("int", "--7"),
        ("int", "7\n"),
        ("int", "9" * 600),
        ("int", "7e0"),
        ("float", "7e0"),
        ("float", ".5"),
        ("float", "nan"),
        ("float", "inf"),
        ("float", "9" * 400),
        ("float", "1_0.0"),
        ("uuid", "{0f8fad5b-d9cb-469f-a165-70867728950e}"),
        ("uuid", "urn:uuid:0f8fad5b-d9cb-469f-a165-70867728950e"),
        ("uuid", "0f8fad5b-d9cb469f-a165-70867728950e"),
        ("uuid", "0f8fad5bd9cb469fa16570867728950"),
        ("caseless", " bob"),
        ("caseless", "bob\u2003"),
        ("caseless", "\ud800"),
    ],
)
def test_other_spelling_of_a_typed_path_value_is_malformed(form: str, value: str) -> None:
    walk = extractor(Fact("id", (("path", "id", form),)))
    assert walk.extract([], PEER, Context(params={"id": value})) == walk.extract([], PEER)


def test_path_value_that_a_framework_decodes_a_second_time_is_malformed() -> None:
    """BlackSheep does: `%2561` arrives as `%61`, and is read as `a`."""
    walk = extractor(Fact("tenant", (("path", "tenant"),)))
    missing = walk.extract([], PEER)
    for value in ("%61cme", "ac%6De", "%ff", "%25"):
        assert walk.extract([], PEER, Context(params={"tenant": value})) == missing
    for value in ("acme", "100%", "%zz", "a%2", "café"):
        assert walk.extract([], PEER, Context(params={"tenant": value}))[0] == walk.value_hash(
            "tenant", value
        )


def test_resolver_is_not_remembered_by_a_malformed_key() -> None:
    walk = extractor(Fact("user", (("resolver", "user"),)))
    source = ("header", "authorization")
    context = Context()
    good = walk.key_of(source, [(b"authorization", b"Bearer KEY")], PEER, context)
    assert good is not None
    assert walk.key_of(source, [(b"authorization", b"bearer  KEY ")], PEER, context) not in (None, good)
    assert walk.key_of(source, BAD, PEER, context) is None
    assert walk.key_of(source, [(b"authorization", b"Bearer KEY")] * 2, PEER, context) is None


def test_allow_list_does_not_know_a_malformed_value() -> None:
    friend = extractor(*facts("client")).value_hashes("credential", "Bearer KEY")[0]
    lists = AccessLists(
        allow_ranges=AddressRanges(()), deny_ranges=AddressRanges(()), allow_values=[(1, friend)]
    )
    for way in ways("client", lists=lists):
        assert way.extract(BAD, PEER)[-1] == UNLISTED
        assert way.extract([(b"authorization", b"BEARER KEY")], PEER)[-1] != UNLISTED
    assert HASHER.identity(HASHER.kind_of("credential"), b"KEY") == friend
