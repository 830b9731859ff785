"""One key for one address, however it is spelled."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ratelimit.core.memory.hashing import Hasher
from ratelimit.core.request.scanner import ABSENT, Scanner
from ratelimit.identity.address import Address, Name, parse_address, parse_peer

V4 = Address(32, 0xC0000201)
V6 = Address(128, 0x20010DB8000000000000000000000001)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", V4),
        ("192.0.2.1:443", V4),
        (" 192.0.2.1\t", V4),
        ('"192.0.2.1:443"', V4),
        ("::ffff:192.0.2.1", V4),
        ("::FFFF:c000:0201", V4),
        ("[::ffff:192.0.2.1]:8080", V4),
        ("0:0:0:0:0:ffff:c000:201", V4),
        ("2001:db8::1", V6),
        ("2001:0DB8:0:0:0:0:0:1", V6),
        ("[2001:db8::1]", V6),
        ("[2001:db8::1]:65535", V6),
        ('"[2001:db8::1]:80"', V6),
        ("2001:db8::1%eth0", V6),
        ("[2001:db8::1%25eth0]:80", V6),
    ],
)
def test_spelling_of_an_address_makes_no_other_key(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "unknown",
        "_hidden",
        "192.0.2",
        "192.0.2.256",
        "192.0.2.01",  # octal to some parsers, decimal to others
        "0xC0.0.2.1",
        "192.0.2.1:",
        "192.0.2.1:port",
        "192.0.2.1:999999",
        "192.0.2.1, 198.51.100.1",
        "[2001:db8::1",
        "[2001:db8::1]80",
        "[192.0.2.1]",
        "2001:db8::1%",
        "2001:db8:::1",
        "١٩٢.0.2.1",
        "192.0.2.1\x00",
        "1" * 200,
    ],
)
def test_what_is_no_address_is_none(text: str) -> None:
    assert parse_address(text) is None


def test_embedded_address_is_the_mapped_one() -> None:
    assert parse_address("::192.0.2.1") == V4


@pytest.mark.parametrize(
    ("one", "other", "v6", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", 64, True),
        ("2001:db8::1", "2001:db8:0:1::1", 64, False),
        ("2001:db8::1", "2001:db8:0:ff::1", 56, True),
        ("2001:db8::1", "2001:db8:0:100::1", 56, False),
        ("2001:db8:0:ffff::1", "2001:db8::1", 48, True),
        ("2001:db8:1::1", "2001:db8::1", 48, False),
        ("2001:db8::1", "8000::", 0, True),
    ],
)
def test_ipv6_rotation_stays_inside_its_prefix(one: str, other: str, v6: int, same: bool) -> None:
    first, second = parse_address(one), parse_address(other)
    assert first is not None
    assert second is not None
    assert (first.prefix(32, v6) == second.prefix(32, v6)) is same


def test_networks_of_different_length_or_family_never_meet() -> None:
    address = Address(32, 0xC0000200)
    assert address.prefix(24, 64) != address.prefix(32, 64)
    assert Address(32, 0).prefix(0, 0) != Address(128, 0).prefix(0, 0)


def test_peer_without_an_address_is_a_name_apart_from_all_addresses() -> None:
    assert parse_peer("testclient") == Name("testclient")
    assert parse_peer("192.0.2.1") == V4
    assert parse_peer("") is None
    assert parse_peer(None) is None
    assert parse_peer("x" * 1000) is None
    assert Name("\x20\x01").prefix(32, 64) != Address(128, 0x2001 << 112).prefix(32, 16)


def test_text_of_an_address_is_its_canonical_spelling() -> None:
    assert str(parse_address("2001:0DB8::0001")) == "2001:db8::1"
    assert str(parse_peer("[::ffff:192.0.2.1]:80")) == "192.0.2.1"
    assert str(parse_peer("box.example")) == "box.example"


def by_ipaddress(text: str) -> Address | None:
    """Return what the standard library reads in a text, of which the compiled parser is a copy."""
    if len(text) > 100:
        return None
    text = text.strip(" \t")
    if len(text) > 1 and text[0] == '"' == text[-1]:
        text = text[1:-1]
    port = "(?::[0-9]{1,5})?"
    if found := re.fullmatch(rf"\[([^]]*)\]{port}", text):
        return v6_by_ipaddress(found[1])
    if text.count(":") > 1:
        return v6_by_ipaddress(text)
    found = re.fullmatch(rf"([^:]*){port}", text)
    try:
        return None if found is None else Address(32, int(IPv4Address(found[1])))
    except ValueError:
        return None


def v6_by_ipaddress(text: str) -> Address | None:
    host, percent, zone = text.partition("%")
    try:
        address = IPv6Address(host)
    except ValueError:
        return None
    if percent and not zone:
        return None
    mapped = address.ipv4_mapped
    return Address(128, int(address)) if mapped is None else Address(32, int(mapped))


@example("1:2:3:4:5:6:7::")
@example("::1:2:3:4:5:6:7")
@example("::1:2:3:4:5:6:7:8")
@example("1:2:3:4:5:6:1.2.3.4")
@example("1:2:3:4:5:6:7:1.2.3.4")
@example("::2:3:4:5:6:7:1.2.3.4")
@example("::ffff:1.2.3.04")
@example("::1.2.3.4:5")
@example("fe80::1%\u00e9")
@example("fe80::1%\ud800")
@given(
    st.one_of(
        st.text('0123456789abcfF:.%[]" \tx\u0661\x00', max_size=60),
        st.lists(st.sampled_from(["", "0", "1", "ffff", "00001", "g", "1.2.3.4", "255"]), max_size=10).map(
            ":".join
        ),
        st.lists(st.sampled_from(["", "0", "1", "255", "256", "01", "1000", "a"]), max_size=5).map(".".join),
        st.ip_addresses().map(str),
        st.ip_addresses(v=6).map(lambda address: f"[{address.exploded}]:443"),
    )
)
def test_compiled_parser_reads_what_the_standard_library_reads(text: str) -> None:
    assert parse_address(text) == by_ipaddress(text)


@given(st.ip_addresses(), st.integers(0, 32), st.integers(0, 128))
def test_compiled_network_of_a_peer_is_the_prefix(
    address: IPv4Address | IPv6Address, v4: int, v6: int
) -> None:
    hasher = Hasher(bytes(16))
    scanner = Scanner(hasher, {}, 9, [(7, v4, v6, ABSENT)], needs_peer=True, diagnose=print)
    parsed = parse_address(str(address))
    assert parsed is not None
    assert scanner.fill_for([], str(address)) == [hasher.identity(7, parsed.prefix(v4, v6)), 0, 0]
