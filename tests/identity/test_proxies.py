"""Only declared proxies say which client they speak for; the walk goes from the right."""

from __future__ import annotations

import pytest

from ratelimit.identity.address import Name, parse_address, parse_peer
from ratelimit.identity.proxies import LONGEST_CHAIN, MOST_HOPS, AddressRanges, ProxyChain

LISTED = ProxyChain(["10.0.0.0/8", "2001:db8:ff::/48"], header="x-forwarded-for")
FORWARDED = ProxyChain(["10.0.0.0/8"], header="forwarded")


def client(chain: ProxyChain, peer: str | None, *lines: bytes) -> str:
    return str(chain.client(parse_peer(peer), lines))


@pytest.mark.parametrize(
    ("peer", "lines", "expected"),
    [
        ("198.51.100.9", [b"192.0.2.1"], "198.51.100.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [b"192.0.2.1"], "192.0.2.1"),
        ("::ffff:10.0.0.1", [b"192.0.2.1"], "192.0.2.1"),
        ("10.0.0.1", [b"6.6.6.6, 192.0.2.1"], "192.0.2.1"),
        ("10.0.0.1", [b"6.6.6.6, 192.0.2.1, 10.0.0.2,10.9.9.9"], "192.0.2.1"),
        ("10.0.0.1", [b"6.6.6.6", b"192.0.2.1", b"10.0.0.2"], "192.0.2.1"),
        ("2001:db8:ff::1", [b"[2001:db8::7]:443"], "2001:db8::7"),
        ("10.0.0.1", [b"10.1.1.1, 10.2.2.2"], "10.1.1.1"),
        ("10.0.0.1", [b"192.0.2.1, nonsense"], "10.0.0.1"),
        ("10.0.0.1", [b"192.0.2.1, nonsense, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", [b""], "10.0.0.1"),
        ("10.0.0.1", [b"192.0.2.1,"], "10.0.0.1"),
        ("10.0.0.1", [b"\xff\xfe"], "10.0.0.1"),
        ("testclient", [b"192.0.2.1"], "testclient"),
    ],
)
def test_forged_forwarded_for_is_not_believed(peer: str, lines: list[bytes], expected: str) -> None:
    assert client(LISTED, peer, *lines) == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([b"for=192.0.2.1"], "192.0.2.1"),
        ([b"FOR=192.0.2.1;proto=https"], "192.0.2.1"),
        ([b'proto=http ; for="[2001:db8::1]:4711"; by=10.0.0.1'], "2001:db8::1"),
        ([b"for=6.6.6.6, for=192.0.2.1, for=10.0.0.2"], "192.0.2.1"),
        ([b"for=6.6.6.6", b"for=192.0.2.1"], "192.0.2.1"),
        ([b"for=unknown"], "10.0.0.1"),
        ([b"for=_secret"], "10.0.0.1"),
        ([b"proto=https"], "10.0.0.1"),
        # An unbalanced quote from the client must not swallow the proxy's own element.
        ([b'for="6.6.6.6, for=7.7.7.7', b"for=192.0.2.1"], "192.0.2.1"),
        # A quoted value that the client chose (its Host) parts neither elements nor pairs.
        ([b'for=192.0.2.1;host="a, for=6.6.6.6"'], "192.0.2.1"),
        ([b'host="a;for=6.6.6.6;x";for=192.0.2.1'], "192.0.2.1"),
        ([b'host="a\\";for=6.6.6.6;x";for=192.0.2.1'], "192.0.2.1"),
        ([b"for=6.6.6.6;for=192.0.2.1"], "10.0.0.1"),
        ([b'for="192.0.2.1'], "10.0.0.1"),
    ],
)
def test_forged_forwarded_is_not_believed(lines: list[bytes], expected: str) -> None:
    assert client(FORWARDED, "10.0.0.1", *lines) == expected


def test_chain_of_proxies_is_followed_only_so_far() -> None:
    hops = [b"10.0.0.2"] * (MOST_HOPS + 10)
    assert client(LISTED, "10.0.0.1", b", ".join([b"192.0.2.1", *hops])) == "10.0.0.2"
    assert client(LISTED, "10.0.0.1", b", ".join([b"192.0.2.1", *hops[: MOST_HOPS - 1]])) == "192.0.2.1"
    many = b", ".join([b"for=192.0.2.1", *[b"for=10.0.0.2"] * (MOST_HOPS + 10)])
    assert client(FORWARDED, "10.0.0.1", many) == "10.0.0.2"


@pytest.mark.parametrize("chain", [LISTED, FORWARDED])
def test_oversized_header_is_read_from_the_right_only(chain: ProxyChain) -> None:
    named = b"192.0.2.1" if chain is LISTED else b"for=192.0.2.1"
    junk = b"6" * (LONGEST_CHAIN * 4) + b", "
    assert client(chain, "10.0.0.1", junk + named) == "192.0.2.1"
    # What the cut leaves of the leftmost element is not taken for an address.
    padding = named.rpartition(b"=")[0]
    cut = b"9.9.9.9".rjust(LONGEST_CHAIN + 1, b"9")
    assert client(chain, "10.0.0.1", padding + cut) == "10.0.0.1"


def test_unix_peer_is_a_proxy_only_when_declared() -> None:
    declared = ProxyChain([], header="x-forwarded-for", trusts_unaddressed=True)
    assert client(declared, None, b"192.0.2.1") == "192.0.2.1"
    assert client(declared, "198.51.100.9", b"192.0.2.1") == "198.51.100.9"
    assert client(LISTED, None, b"192.0.2.1") == "None"
    assert declared
    assert not ProxyChain([], header="x-forwarded-for")


def test_ranges_hold_both_ends_and_nothing_beside() -> None:
    ranges = AddressRanges(["192.0.2.64/26", "192.0.2.128/25", "198.51.100.7", "::ffff:203.0.113.0/120"])
    inside = ["192.0.2.64", "192.0.2.127", "192.0.2.128", "192.0.2.255", "198.51.100.7", "203.0.113.9"]
    outside = ["192.0.2.63", "192.0.3.0", "198.51.100.6", "198.51.100.8", "203.0.112.255", "2001:db8::1"]
    for text in inside:
        assert parse_address(text) in ranges, text
    for text in outside:
        assert parse_address(text) not in ranges, text
    assert Name("192.0.2.64") not in ranges
