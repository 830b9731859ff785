"""Declared organisations and networks: what is no evidence, or less."""

from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path

import pytest

from ratelimit.clustering.declarations import Declared, hashed
from ratelimit.core.clusters.organisations import Organisations
from ratelimit.errors import PolicyError
from ratelimit.identity.address import parse_address
from ratelimit.identity.fact import ABSENT
from ratelimit.identity.origins import Origins
from ratelimit.policy import Policy
from ratelimit.policy.compile.declarations import SHIPPED
from tests.declarations.world import HOUR_S, POLICY, World, actor, people

DAY = 24.0 * HOUR_S
NONE, LIKELY, CERTAIN = 0, 1, 2
COMPANY = {"cards": 6, "exits": "50.1.{1}.7"}


def company() -> list[tuple[float, dict[str, str]]]:
    """Return requests that nothing tells from one actor's: a few cards, one egress range, one client."""
    return list(actor("staff", **COMPANY))  # type: ignore[arg-type]


CARDS = ", ".join(f'"staffcard{number}"' for number in range(6))


def test_a_company_that_looks_like_one_actor_is_left_alone_once_declared() -> None:
    world = World()
    world.see([*people(), *company()])
    assert world.clustered("staff", 60) >= 57
    world = World(f'[correlation.known.organisations.acme]\npayment = [{CARDS}]\nnetwork = ["50.1.0.0/16"]')
    world.see([*people(), *company(), *actor()])
    assert world.clustered("staff", 60) == 0
    assert world.clustered("bot", 60) >= 57


def test_a_company_declared_by_an_act_is_left_alone_as_by_the_policy() -> None:
    """Hazard: an analyst who may not edit the policy cannot say where a school is."""
    for with_networks, least, most in ((True, 0, 0), (False, 1, 60)):
        world = World()
        spec, identities = world.policy.compiled.correlation, world.policy.compiled.identities
        assert spec is not None
        rows = [world.row(values) for _, values in company()]
        networks = {row[spec.kinds[1]] for row in rows} if with_networks else set()
        cards = {row[spec.kinds[2]] for row in rows}
        act = Declared(organisations=(((), tuple(cards), tuple(networks)),))
        hashed(spec, identities, world.bound.extractor, act).tell(world.correlator)
        world.see([*people(), *company(), *actor()])
        found = [world.correlator.core.verdict_of(world.key(f"staff{number}")) for number in range(60)]
        assert least <= sum(each > NONE for each in found) <= most, with_networks
        assert world.clustered("bot", 60) >= 57


def test_a_company_declared_after_the_fact_is_let_go() -> None:
    world = World()
    world.see([*people(), *company()])
    assert world.clustered("staff", 60) >= 57
    certain = {world.key(f"staff{number}") for number in range(60)}
    assert {world.correlator.core.verdict_of(key) for key in certain} == {CERTAIN}
    world.load(f"[correlation.known.organisations.acme]\npayment = [{CARDS}]")
    world.tell()
    world.rebuild(DAY)
    # Its egress is not declared: what is left are newcomers that pay by themselves and roam, likely at most.
    assert {world.correlator.core.verdict_of(key) for key in certain} <= {NONE, LIKELY}
    assert {classification.why for _, classification in world.correlator.kept.values()} <= {
        "roaming newcomers"
    }


def test_what_a_company_shares_stays_evidence_for_who_is_not_of_it() -> None:
    # The campaign pays with stolen cards of a company with known accounts.
    members = ", ".join(f'"staff{number}"' for number in range(20))
    cards = ", ".join(f'"botcard{number}"' for number in range(6))
    world = World(f"[correlation.known.organisations.acme]\npayment = [{cards}]\naccount = [{members}]")
    staff = [
        (float(at_s), {"account": f"staff{number}", "payment": f"botcard{number % 6}", "ip": "50.1.1.1"})
        for number in range(20)
        for at_s in range(number, int(DAY), 9000)
    ]
    world.see([*people(), *staff, *actor()])
    assert world.clustered("bot", 60) >= 57
    assert world.clustered("staff", 20) == 0


def test_addresses_of_declared_infrastructure_are_no_meeting_place() -> None:
    # No payment methods: roamers that meet at exits, or pay alike and meet there.
    world = World('[correlation.known]\nnetworks = ["45.0.0.0/8"]')
    world.see([*people(), *actor()])
    assert world.clustered("bot", 60) == 0
    world = World('[correlation.known]\nnetworks = ["46.0.0.0/8"]')
    world.see([*people(), *actor()])
    assert world.clustered("bot", 60) >= 57


def test_an_address_of_declared_infrastructure_is_nobodys_home() -> None:
    for known, is_homed in (('networks = ["82.0.0.0/8"]', True), ('networks = ["81.0.0.0/8"]', False)):
        world = World(f"[correlation.known]\n{known}")
        world.see([*people()])
        found = [world.correlator.explain(world.key(f"person{number}")) for number in range(300)]
        homed = sum(one is not None and one.is_homed for one in found)
        assert (homed > 200) is is_homed
        assert is_homed or homed == 0


def listed(tmp_path: Path, *ranges: str) -> str:
    """Return a policy with a public list of these ranges."""
    path = tmp_path / "public.txt"
    path.write_text("# dated\n" + "\n".join(ranges), "utf-8")
    return POLICY.replace('principal = "account"', f'principal = "account"\npublic = ["file:{path}"]')


@pytest.mark.parametrize(("ranges", "is_homed"), [("82.0.0.0/8", True), ("81.0.0.0/8", False)])
def test_an_address_that_anybody_can_rent_is_nobodys_home_however_scattered(
    tmp_path: Path, ranges: str, is_homed: bool
) -> None:
    world = World(policy=listed(tmp_path, ranges))
    world.see([*people()])
    found = [world.correlator.explain(world.key(f"person{number}")) for number in range(300)]
    homed = sum(one is not None and one.is_homed for one in found)
    assert (homed > 200) is is_homed
    assert is_homed or homed == 0


@pytest.mark.parametrize(("ranges", "least", "most"), [("82.0.0.0/8", 8, 40), ("45.0.0.0/8", 1, 1)])
def test_a_public_list_is_one_network(tmp_path: Path, ranges: str, least: int, most: int) -> None:
    world = World(policy=listed(tmp_path, ranges))
    world.see([*people(), *actor()])
    # It still is a place to meet: what is rented there is seen.
    assert world.clustered("bot", 60) >= 57
    (group,) = [statistics for statistics, _ in world.correlator.kept.values()]
    assert least <= group["networks"] <= most
    assert group["addresses"] > 20


def test_lists_that_ship_are_dated_name_their_source_and_are_small() -> None:
    for path in SHIPPED.values():
        head = path.read_text("utf-8").partition("\n\n")[0].splitlines()[:4]
        assert "Published by their owners: " in head[1]
        assert re.search(r"as of \d{4}-\d\d-\d\d", head[2])
        assert path.stat().st_size < 64_000
        ranges = [ip_network(line) for line in path.read_text("utf-8").splitlines()[4:]]
        assert all(each.is_global for each in ranges)
    public = 'principal = "account"\npublic = ["relay", "runner", "cloud"]'
    policy = Policy.from_toml(POLICY.replace('principal = "account"', public))
    spec = policy.compiled.correlation
    assert spec is not None
    origins = Origins((), (), spec.public)
    for text, found in (
        ("104.28.32.7", 1),
        ("52.95.110.1", 3),
        ("34.64.0.1", 3),
        ("4.147.189.200", 2),
        ("2a02:26f7:b00a:4000::1", 1),
        ("192.0.2.1", 0),
        ("81.2.3.4", 0),
    ):
        assert origins.of_address(parse_address(text)) == (2 * found or ABSENT), text


def test_lists_that_ship_are_read_once_and_again_if_they_could_not_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = tmp_path / "relay.txt"
    monkeypatch.setitem(SHIPPED, "relay", away)
    text = POLICY.replace('principal = "account"', 'principal = "account"\npublic = ["relay"]')
    for _ in range(2):
        with pytest.raises(PolicyError, match="cannot be read"):
            Policy.from_toml(text)
    away.write_text("203.0.113.0/25\n203.0.113.128/25\n")
    first = Policy.from_toml(text).compiled.correlation
    away.unlink()
    again = Policy.from_toml(text).compiled.correlation
    assert first is not None
    assert again is not None
    assert first.public == again.public == ((ip_network("203.0.113.0/24"),),)


def test_a_public_list_that_there_is_not_is_an_error(tmp_path: Path) -> None:
    for name, words in (("clouds", "Did you mean `cloud`"), ("10.0.0.0/8", "`file:PATH`")):
        with pytest.raises(PolicyError, match="known-list") as caught:
            Policy.from_toml(
                POLICY.replace('principal = "account"', f'principal = "account"\npublic = ["{name}"]')
            )
        assert words in str(caught.value)
    with pytest.raises(PolicyError, match="cannot be read"):
        Policy.from_toml(listed(tmp_path).replace("public.txt", "gone.txt"))


def test_a_range_wider_than_the_identity_and_one_narrower_both_hold_by_address() -> None:
    origins = Origins(
        [ip_network("10.0.0.0/8"), ip_network("2001:db8::/29")],
        [[ip_network("192.0.2.128/25"), ip_network("192.0.2.192/26")], [ip_network("10.1.0.0/16")]],
        [[ip_network("10.1.2.0/24"), ip_network("198.51.100.0/24")], [ip_network("198.51.0.0/16")]],
    )

    def of(text: str) -> int:
        return origins.of_address(parse_address(text))

    assert of("10.200.1.1") == 1
    assert of("10.1.1.3") == 1 + 16 * 2
    assert of("10.1.2.3") == 1 + 2 * 1 + 16 * 2
    # In two public lists, it is in the first.
    assert (of("198.51.100.1"), of("198.51.101.1")) == (2 * 1, 2 * 2)
    assert of("192.0.2.127") == ABSENT
    assert of("192.0.2.128") == of("192.0.2.255") == of("::ffff:192.0.2.200") == 16
    assert of("2001:dbf:ffff::1") == 1
    assert of("2001:dc0::1") == ABSENT
    assert origins.of_address(None) == ABSENT


def test_nothing_declared_costs_the_hot_path_nothing() -> None:
    plain = World()
    assert plain.policy.compiled.correlation is not None
    assert plain.policy.compiled.correlation.origin == -1
    assert "declared network" not in [spec.name for spec in plain.policy.compiled.identities]


def test_members_are_told_by_account_else_payment_else_network() -> None:
    told = Organisations([((1, 2), (50,), ()), ((), (60,), ()), ((), (), ())])
    assert told.count == 3
    with pytest.raises(ValueError, match="at most"):
        Organisations([((), (), ())] * 1025)


def test_a_list_of_networks_is_read_from_beside_the_policy(tmp_path: Path) -> None:
    (tmp_path / "exits.txt").write_text("# ours\n198.51.100.0/24  # one\n\n2001:db8::/32\n", "utf-8")
    path = tmp_path / "policy.toml"
    path.write_text(POLICY + '[correlation.known]\nnetworks = ["file:exits.txt", "192.0.2.1"]', "utf-8")
    spec = Policy.load(path).compiled.correlation
    assert spec is not None
    assert spec.known is not None
    assert [str(network) for network in spec.known.infrastructure] == [
        "192.0.2.1/32",
        "198.51.100.0/24",
        "2001:db8::/32",
    ]
