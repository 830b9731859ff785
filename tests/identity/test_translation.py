"""One key for one IPv4 client, whatever translator or tunnel it comes through."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ratelimit import Limiter, Policy
from ratelimit.core.memory.hashing import Hasher
from ratelimit.core.request.scanner import ABSENT, LENGTHS, Scanner, Translations
from ratelimit.errors import PolicyError
from ratelimit.identity.address import Address, Translated, parse_address, parse_peer
from ratelimit.identity.proxies import AddressRanges, ProxyChain
from ratelimit.lists.access import ALLOWED, DENIED, UNLISTED, AccessLists

V4 = IPv4Address("192.0.2.33")
HASHER = Hasher(bytes(16))
v4s = st.integers(0, 2**32 - 1).map(IPv4Address)
PRIVATE = "0.0.0.0/8 10.0.0.0/8 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.168.0.0/16 224.0.0.0/3"
outside = [IPv4Network(text) for text in PRIVATE.split()]


def embedded(prefix: IPv6Network, v4: IPv4Address) -> IPv6Address:
    """Return an IPv4 address behind a translation prefix: RFC 6052, 2.2, bit by bit."""
    bits = format(int(prefix.network_address), "0128b")[: prefix.prefixlen]
    rest = format(int(v4), "032b")
    for bit in rest:
        if len(bits) == 64:
            bits += "0" * 8
        bits += bit
    bits = bits if len(bits) != 64 else bits + "0" * 8
    return IPv6Address(int(bits.ljust(128, "0"), 2))


@pytest.mark.parametrize(
    ("prefix", "text"),
    [
        ("2001:db8::/32", "2001:db8:c000:221::"),
        ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
        ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
        ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
        ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
        ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
    ],
)
def test_examples_of_the_rfc_are_one_client_where_their_prefix_is_declared(prefix: str, text: str) -> None:
    network = IPv6Network(prefix)
    assert embedded(network, V4) == IPv6Address(text)
    declared = Translations([(network.network_address.packed, network.prefixlen)])
    assert parse_address(text, declared) == Address(32, int(V4))
    assert parse_address(text) == Address(128, int(IPv6Address(text)))


@pytest.mark.parametrize(
    "text",
    [
        "192.0.2.33",
        "::ffff:192.0.2.33",
        "::ffff:0:192.0.2.33",
        "::192.0.2.33",
        "64:ff9b::192.0.2.33",
        "[64:ff9b::c000:221]:443",
        "64:ff9b:1::192.0.2.33",
        "64:ff9b:1:fffe:7::c000:221",
        "64:ff9b:1:c000:2:2100::",
        "64:ff9b:1:ffc0:0:221::",
        "64:ff9b:1:abcd:c0:2:2100::",
        "2002:c000:221::1",
        "2002:c000:221:ffff:1:2:3:4",
        "2001:0:4136:e378:8000:63bf:3fff:fdde",
    ],
)
def test_ipv4_client_behind_a_translator_has_its_own_budget(text: str) -> None:
    assert parse_address(text) == Address(32, int(V4))
    scanner = Scanner(HASHER, {}, 9, [(7, 32, 64, ABSENT)], needs_peer=True, diagnose=print)
    assert scanner.fill_for([], text) == scanner.fill_for([], "192.0.2.33")


@pytest.mark.parametrize(
    "text",
    [
        "::",
        "::1",
        "::2",
        "::0.255.255.255",
        "2001:db8::1",
        "64:ff9b::1:c000:221",
        "64:ff9b:2::c000:221",
        "64:ff9c::c000:221",
        "::fffe:0:c000:221",
        "::ffff:1:c000:221",
        "2002:7f00:1::1",
        "2002:a00:1::1",
        "2002:c0a8:1::1",
        "2001:0:4136:e378:8000:63bf:80ff:fffe",
        "2001:1::1",
        "2003:c000:221::1",
    ],
)
def test_address_that_carries_none_is_itself(text: str) -> None:
    assert parse_address(text) == Address(128, int(IPv6Address(text)))


def known(address: IPv6Address) -> IPv4Address | None:
    """Return what an address carries, by the standard library and arithmetic on whole numbers."""
    tunnel = address.sixtofour or (address.teredo[1] if address.teredo else None)
    if tunnel is not None:
        return None if any(tunnel in network for network in outside) else tunnel
    low = IPv4Address(int(address) & 0xFFFFFFFF)
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in ipaddress.ip_network("64:ff9b::/96") or address in ipaddress.ip_network("::ffff:0:0:0/96"):
        return low
    return low if int(address) >= 1 << 24 and int(address) < 1 << 32 else None


STARTS = ("::", "::ffff:0:0", "::ffff:0:0:0", "64:ff9b::", "2002::", "2001::", "64:ff9a::", "::1:0:0:0")
addresses = st.one_of(
    st.integers(0, 2**128 - 1),
    st.builds(
        lambda start, bits, width: int(IPv6Address(start)) | bits & (1 << width) - 1,
        st.sampled_from(STARTS),
        st.integers(0, 2**112 - 1),
        st.sampled_from([32, 40, 96, 112]),
    ),
)


@example(1)
@example(int(IPv6Address("2002:7f00:1::")))
@given(bits=addresses)
def test_carried_address_is_what_the_standard_library_says(bits: int) -> None:
    address = IPv6Address(bits)
    if address in ipaddress.ip_network("64:ff9b:1::/48"):
        return
    carried = known(address)
    found = parse_address(str(address))
    assert found == (Address(128, bits) if carried is None else Address(32, int(carried)))
    if isinstance(found, Translated):
        assert found.written == Address(128, bits)


prefixes = st.builds(
    lambda bits, length: IPv6Network((bits & ~(0xFF << 56), length), strict=False),
    st.one_of(st.integers(0, 2**128 - 1), st.just(int(IPv6Address("64:ff9b:1::")))),
    st.sampled_from(LENGTHS),
)


def translations(networks: list[IPv6Network]) -> Translations:
    return Translations((network.network_address.packed, network.prefixlen) for network in networks)


@given(
    networks=st.lists(prefixes, min_size=1, max_size=16),
    v4=v4s,
    at=st.integers(0, 15),
    noise=st.integers(0, 255),
)
def test_declared_prefix_of_any_length_gives_each_client_its_address(
    networks: list[IPv6Network], v4: IPv4Address, at: int, noise: int
) -> None:
    network = networks[at % len(networks)]
    address = embedded(network, v4)
    longest = max((each for each in networks if address in each), key=lambda each: each.prefixlen)
    declared = translations(networks)
    expected = v4 if longest == network else None
    found = parse_address(str(address), declared)
    assert found is not None
    if expected is not None:
        assert found == Address(32, int(v4))
        if network.prefixlen < 96 and noise:
            # Octet 8 is zero in what a translator makes.
            other = IPv6Address(int(address) | noise << 56)
            assert parse_address(str(other), declared) == Address(128, int(other))
    # The compiled way and this one agree.
    blanks = [(7, 32, 64, ABSENT)]
    scanner = Scanner(HASHER, {}, 9, blanks, needs_peer=True, diagnose=print, translations=declared)
    octets = found.bits.to_bytes(found.width // 8, "big")
    assert scanner.fill_for([], str(address)) == scanner.template(found.width, octets)


def test_ranges_match_by_either_form() -> None:
    lists = AccessLists(
        allow_ranges=AddressRanges(["192.0.2.0/24"]), deny_ranges=AddressRanges(["64:ff9b::/96", "2002::/16"])
    )
    said = {
        text: lists.of_address(parse_peer(text))
        for text in ("64:ff9b::192.0.2.1", "64:ff9b::198.51.100.1", "198.51.100.1", "2002:c633:6401::1")
    }
    assert list(said.values()) == [ALLOWED, DENIED, UNLISTED, DENIED]


def test_proxy_behind_a_translator_is_a_proxy() -> None:
    declared = translations([IPv6Network("2001:db8:64::/96")])
    chain = ProxyChain(["198.51.100.0/24"], header="x-forwarded-for", translations=declared)
    peer = parse_peer("2001:db8:64::198.51.100.7", declared)
    client = chain.client(peer, [b"203.0.113.9, 2001:db8:64::192.0.2.33"])
    assert client == Address(32, int(V4))
    assert chain.client(parse_peer("2001:db8:65::198.51.100.7", declared), [b"192.0.2.33"]) != client


POLICY = """\
version = 1
proxies = [{more}"nat64:2001:db8:64::/96", "nat64:2001:db8:122::/48"]
[store]
memory = "private"
[[limit]]
name = "requests"
per = "ip"
rate = "3/hour"
"""
WAYS: dict[str, tuple[str, Callable[[str], dict[str, object]]]] = {
    "peer": ("", lambda text: {"client": text}),
    "proxy": (
        '"10.0.0.0/8", ',
        lambda text: {"client": "10.0.0.1", "headers": {"x-forwarded-for": text}},
    ),
    "given": ("", lambda text: {"identities": {"ip": text}}),
}


@pytest.mark.parametrize("way", WAYS)
def test_translated_clients_have_one_budget_each(way: str) -> None:
    more, asked = WAYS[way]
    limiter = Limiter(Policy.from_toml(POLICY.format(more=more)))
    spellings = ["192.0.2.33", "2001:db8:64::192.0.2.33", "2001:db8:122:c000:2:2100::", "64:ff9b::192.0.2.33"]
    assert [limiter.decide(**asked(text)).allowed for text in spellings] == [True, True, True, False]  # type: ignore[arg-type]
    assert limiter.decide(**asked("2001:db8:64::192.0.2.34")).allowed  # type: ignore[arg-type]
    limiter.close()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2001:db8::/95", "95 bits"),
        ("2001:db8::1/96", "host bits"),
        ("192.0.2.0/24", "no IPv6 prefix"),
        ("nonsense", "no IPv6 prefix"),
        ("2001:db8:0:0:100::/96", "64 to 71"),
    ],
)
def test_prefix_that_is_none_is_refused_by_its_place(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY.format(more="").replace("2001:db8:122::/48", text))
    with pytest.raises(PolicyError, match="trust-translation") as raised:
        Policy.load(path)
    assert words in str(raised.value)
    assert "proxies[1]" in str(raised.value)
