"""Headers, peers and the rest become hashes: each oddity of a value by an explicit rule."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import pytest

from ratelimit.core.memory.hashing import Hasher
from ratelimit.identity.extract import MOST_TEMPLATES, Extractor
from ratelimit.identity.fact import ABSENT, LONGEST_VALUE, REFUSED, Context, Fact
from ratelimit.identity.proxies import AddressRanges, ProxyChain
from ratelimit.lists.access import ALLOWED, DENIED, UNLISTED, AccessLists

HASHER = Hasher(b"0123456789abcdef")
NOBODY = AddressRanges(())
ACCOUNT = Fact("account", (("header", "x-api-key"),))
IP = Fact("ip", (("client", ""),), missing="skip")
PEER = "192.0.2.1"


def extractor(
    *facts: Fact,
    chain: ProxyChain | None = None,
    lists: AccessLists | None = None,
    notices: list[str] | None = None,
    needed: Sequence[int] | None = None,
    evidence: Sequence[int] = (),
) -> Extractor:
    said = notices if notices is not None else []
    return Extractor(
        facts,
        HASHER,
        chain=chain or ProxyChain([], header="x-forwarded-for"),
        lists=lists or AccessLists(allow_ranges=NOBODY, deny_ranges=NOBODY),
        needed=needed,
        evidence=evidence,
        diagnose=said.append,
    )


def account_of(headers: list[tuple[bytes, bytes]], peer: str | None = PEER, fact: Fact = ACCOUNT) -> int:
    return extractor(fact).extract(headers, peer)[0]


def test_value_is_hashed_under_its_own_name() -> None:
    key = account_of([(b"host", b"h"), (b"x-api-key", b"k1")])
    assert key == HASHER.identity(HASHER.kind_of("account"), b"k1")
    assert key != account_of([(b"x-api-key", b"k2")])
    other = Fact("tenant", (("header", "x-api-key"),))
    assert key != account_of([(b"x-api-key", b"k1")], fact=other)


def test_missing_identity_counts_as_its_client_and_never_as_a_value() -> None:
    missing = account_of([])
    assert missing not in (ABSENT, REFUSED)
    assert missing == account_of([], PEER)
    assert missing != account_of([], "192.0.2.2")
    # No value that a client may send lands there, nor in the address' own budget.
    assert missing != extractor(IP).extract([], PEER)[0]
    assert missing != account_of([(b"x-api-key", PEER.encode())])


@pytest.mark.parametrize("value", [b"", b"x" * (LONGEST_VALUE + 1)])
def test_empty_or_oversized_identity_counts_as_missing(value: bytes) -> None:
    assert account_of([(b"x-api-key", value)]) == account_of([])


def test_oversized_identity_is_never_truncated_into_another() -> None:
    longest = b"x" * LONGEST_VALUE
    assert account_of([(b"x-api-key", longest + b"y")]) != account_of([(b"x-api-key", longest)])
    assert account_of([(b"x-api-key", longest)]) != account_of([])


@pytest.mark.parametrize("lines", [(b"k1", b"k2"), (b"", b"k2"), (b"k1", b""), (b"k1", b"k1")])
def test_duplicate_header_is_malformed(lines: tuple[bytes, bytes]) -> None:
    """Starlette reads the first line, Django both as one."""
    assert account_of([(b"x-api-key", line) for line in lines]) == account_of([])


@pytest.mark.parametrize(
    "value",
    [
        b"k\xff",
        b"\xff\xfe\x80",
        "k\xe9".encode(),
        b"k\x00",
        b"k\tk",
        b"\x1ck",
        b"k\x85",
        b"k\xa0",
        b"k\x7f",
        b"k\r",
    ],
)
def test_header_that_is_decoded_or_stripped_in_several_ways_is_malformed(value: bytes) -> None:
    assert account_of([(b"x-api-key", value)]) == account_of([])


def test_blanks_around_a_header_are_no_part_of_it() -> None:
    assert account_of([(b"x-api-key", b" \tk1 \t")]) == account_of([(b"x-api-key", b"k1")])
    assert account_of([(b"x-api-key", b" \t")]) == account_of([])


def test_underscore_spelling_of_a_header_never_matches() -> None:
    assert account_of([(b"x_api_key", b"k1")]) == account_of([])
    chain = ProxyChain(["192.0.2.0/24"], header="x-forwarded-for")
    walk = extractor(IP, chain=chain)
    assert walk.extract([(b"x_forwarded_for", b"6.6.6.6")], PEER) == walk.extract([], PEER)
    assert walk.extract([(b"x-forwarded-for", b"6.6.6.6")], PEER) != walk.extract([], PEER)


@pytest.mark.parametrize(
    "spelling", [b"Bearer k1", b"bearer k1", b"BEARER k1", b"Bearer   k1", b" Bearer k1 "]
)
def test_spelling_of_a_scheme_makes_no_fresh_budget(spelling: bytes) -> None:
    fact = Fact("account", (("header", "authorization"),))
    canonical = account_of([(b"authorization", b"bearer k1")], fact=fact)
    assert account_of([(b"authorization", spelling)], fact=fact) == canonical
    assert account_of([(b"authorization", b"Bearer K1")], fact=fact) != canonical


@pytest.mark.parametrize(
    ("missing", "expected"), [("skip", ABSENT), ("refuse", REFUSED)], ids=["skip", "refuse"]
)
def test_missing_identity_by_rule(missing: str, expected: int) -> None:
    assert account_of([], fact=Fact("account", ACCOUNT.sources, missing=missing)) == expected  # type: ignore[arg-type]


def test_shared_missing_identity_is_one_for_all_and_no_value() -> None:
    fact = Fact("account", ACCOUNT.sources, missing="shared")
    shared = account_of([], fact=fact)
    assert shared == account_of([], "192.0.2.2", fact=fact)
    assert shared == account_of([], None, fact=fact)
    assert shared not in (ABSENT, REFUSED, account_of([(b"x-api-key", b"0")], fact=fact))


def test_unix_socket_is_never_one_shared_bucket_by_accident() -> None:
    notices: list[str] = []
    found = extractor(ACCOUNT, IP, notices=notices).extract([], None)
    assert found[:2] == [ABSENT, ABSENT]
    assert notices == ["client-missing"]


def test_peer_named_otherwise_than_by_address_is_told_apart() -> None:
    walk = extractor(IP)
    assert walk.extract([], "testclient")[0] not in (ABSENT, REFUSED)
    assert walk.extract([], "testclient") != walk.extract([], "otherclient")


def test_first_present_source_wins() -> None:
    fact = Fact("client", (("header", "x-ja4"), ("cookie", "device"), ("state", "device")))
    walk = extractor(fact)
    value = walk.value_hash
    cookie = (b"cookie", b"device=c")
    state = Context(state={"device": "s"})
    assert walk.extract([(b"x-ja4", b"h"), cookie], PEER, state)[0] == value("client", "h")
    assert walk.extract([cookie], PEER, state)[0] == value("client", "c")
    assert walk.extract([(b"x-ja4", b"")], PEER, state)[0] == value("client", "s")
    assert walk.extract([], PEER)[0] == account_of([], fact=Fact("client", ACCOUNT.sources))


@pytest.mark.parametrize(
    ("value", "text"),
    [(7, "7"), ("seven", "seven"), (b"seven", "seven"), (UUID(int=7), str(UUID(int=7)))],
    ids=["int", "str", "bytes", "uuid"],
)
def test_state_values_of_plain_types_are_identities(value: object, text: str) -> None:
    walk = extractor(Fact("account", (("state", "account"),)))
    assert walk.extract([], PEER, Context(state={"account": value}))[0] == walk.value_hash("account", text)


@pytest.mark.parametrize("value", [object(), True, 1.5, ["a"]], ids=["object", "bool", "float", "list"])
def test_state_object_whose_text_changes_is_no_identity(value: object) -> None:
    notices: list[str] = []
    walk = extractor(Fact("account", (("state", "account"),)), notices=notices)
    assert walk.extract([], PEER, Context(state={"account": value})) == walk.extract([], PEER)
    assert notices == ["identity-type"]


def test_flood_of_clients_grows_nothing() -> None:
    walk = extractor(ACCOUNT, IP)
    for number in range(MOST_TEMPLATES * 2 + 10):
        walk.extract([], f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert walk.remembered() <= MOST_TEMPLATES
    through = extractor(IP, chain=ProxyChain(["192.0.2.0/24"], header="x-forwarded-for"))
    for number in range(MOST_TEMPLATES + 10):
        through.extract([(b"x-forwarded-for", b"6.6.6.6, " * 20 + b"%d" % number)], PEER)
        through.extract([(b"x-forwarded-for", b"6.6.6.6, " * 400 + b"%d" % number)], PEER)
    assert through.remembered() <= MOST_TEMPLATES


def test_template_is_not_changed_by_the_request_that_copied_it() -> None:
    walk = extractor(ACCOUNT)
    before = walk.extract([], PEER)
    walk.extract([(b"x-api-key", b"k1")], PEER)
    assert walk.extract([], PEER) == before


def test_forwarded_header_of_an_undeclared_peer_is_noticed() -> None:
    notices: list[str] = []
    walk = extractor(IP, notices=notices)
    assert walk.extract([(b"x-forwarded-for", b"6.6.6.6")], PEER) == extractor(IP).extract([], PEER)
    assert notices == ["undeclared-proxy"]
    notices.clear()
    chain = ProxyChain(["10.0.0.0/8"], header="x-forwarded-for")
    extractor(IP, chain=chain, notices=notices).extract([(b"x-forwarded-for", b"6.6.6.6")], "10.0.0.1")
    assert notices == []
    extractor(IP, chain=chain, notices=notices).extract([(b"x-forwarded-for", b"6.6.6.6")], PEER)
    assert notices == ["undeclared-proxy"]


def test_peer_that_is_a_kind_of_text_counts_as_that_text() -> None:
    class Text(str):
        """What a server may make of an address."""

        __slots__ = ()

    assert extractor(IP).extract([], Text(PEER)) == extractor(IP).extract([], PEER)
    with pytest.raises(TypeError):
        extractor(IP).extract([], PEER.encode())  # type: ignore[arg-type]


def test_client_never_seen_leaves_nothing_behind() -> None:
    walk = extractor(ACCOUNT, IP)
    for number in range(100):
        walk.extract([], f"192.0.2.{number}")
    assert walk.remembered() == 0


def test_identity_nothing_asks_for_is_not_made() -> None:
    found = extractor(ACCOUNT, IP, needed=[0]).extract([(b"x-api-key", b"k1")], PEER)
    assert found[0] != ABSENT
    assert found[1] == ABSENT


def test_lists_know_addresses_before_any_prefix_and_values_by_hash() -> None:
    lists = AccessLists(
        allow_ranges=AddressRanges(["192.0.2.7"]),
        deny_ranges=AddressRanges(["192.0.2.0/24"]),
        deny_values=[(0, extractor(ACCOUNT).value_hash("account", "banned"))],
    )
    walk = extractor(ACCOUNT, IP, lists=lists)
    banned = [(b"x-api-key", b"banned")]
    assert walk.extract([], "192.0.2.7")[walk.listed_at] == ALLOWED
    assert walk.extract(banned, "192.0.2.7")[walk.listed_at] == ALLOWED
    assert walk.extract([], "192.0.2.8")[walk.listed_at] == DENIED
    assert walk.extract(banned, "198.51.100.1")[walk.listed_at] == DENIED
    assert walk.extract([], "198.51.100.1")[walk.listed_at] == UNLISTED
    assert walk.extract([], None)[walk.listed_at] == UNLISTED


def test_values_given_by_name_are_those_that_headers_would_give() -> None:
    walk = extractor(ACCOUNT, IP)
    assert walk.from_values({"account": "k1"}, PEER) == walk.extract([(b"x-api-key", b"k1")], PEER)
    assert walk.from_values({"ip": PEER, "account": b"k1"}, None) == walk.extract(
        [(b"x-api-key", b"k1")], PEER
    )
    assert walk.from_values({"ip": PEER}, None) == walk.extract([], PEER)
    assert walk.from_values({"ip": "[::ffff:192.0.2.1]:80"}, None) == walk.extract([], PEER)
    assert walk.from_values({"account": ""}, PEER) == walk.extract([], PEER)
