"""One key for one address, however it is spelled."""

from __future__ import annotations

import pytest

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


def test_embedded_address_is_not_the_mapped_one() -> None:
    assert parse_address("::192.0.2.1") == Address(128, 0xC0000201)


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
