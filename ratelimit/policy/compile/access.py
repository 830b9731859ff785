"""Addresses and ranges, the allow and deny lists, and the proxies that are trusted."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network

from ratelimit.core.request.grammar import canonical
from ratelimit.core.request.scanner import LENGTHS, MOST_PREFIXES
from ratelimit.environment.spelling import did_you_mean
from ratelimit.policy.compile.compiled import AccessList, IdentitySpec, Network, TrustSpec
from ratelimit.policy.compile.identities import CLUSTER, HIDDEN
from ratelimit.policy.schema.problem import Path, Report
from ratelimit.policy.schema.surroundings import FORWARDED, TRANSLATOR, Trust

UNIX = "unix"
_WIDEST_TRUST = {4: 8, 6: 16}
"""Shortest prefixes of a trusted range that are not remarked on: 10.0.0.0/8 is one."""
_MAPPED = IPv6Network("::ffff:0:0/96")


def parse_network(text: str, path: Path, report: Report) -> Network | None:
    """Return a range, or one address as the range of itself; None with a problem noted."""
    try:
        network = ip_network(text.strip(), strict=False)
    except ValueError:
        report.add("address-syntax", path, f"`{text[:80]}` is not an address or range")
        return None
    if "/" in text:
        written = ip_network(text.strip().split("/")[0])
        if written.network_address != network.network_address:
            report.add("address-host-bits", path, f"`{text}` is read as `{network}`", f"Write `{network}`.")
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        # Mapped IPv4 addresses are IPv4 everywhere else.
        return IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - 96))
    return network


def compile_trust(trust: Trust, report: Report) -> TrustSpec:
    """Return the proxies that are trusted."""
    networks: list[Network] = []
    for index, text in enumerate(trust.proxies):
        if text in (UNIX, FORWARDED) or text.startswith(TRANSLATOR):
            continue
        path: Path = ("proxies", index)
        network = parse_network(text, path, report)
        if network is None:
            continue
        networks.append(network)
        if 0 < network.prefixlen < _WIDEST_TRUST[network.version]:
            report.add("trust-wide", path, f"`{network}` are {network.num_addresses} addresses")
    merged = merge(networks)
    if any(network.prefixlen == 0 for network in merged):
        report.add("trust-everyone", ("proxies",), "these ranges together are every address there is")
    if FORWARDED in trust.proxies and not trust.ranges:
        where = ("proxies", trust.proxies.index(FORWARDED))
        report.add("trust-header-unused", where, "no proxy is trusted, so no header is read")
    return TrustSpec(
        tuple(networks), UNIX in trust.proxies, trust.header, compile_translation(trust.translation, report)
    )


def compile_translation(texts: Mapping[int, str], report: Report) -> tuple[IPv6Network, ...]:
    """Return the declared translation prefixes; note what is none."""
    prefixes: list[IPv6Network] = []
    if len(texts) > MOST_PREFIXES:
        words = f"{len(texts)} translators; {MOST_PREFIXES} are the most"
        report.add("policy-too-many", ("proxies",), words)
    for index, text in list(texts.items())[:MOST_PREFIXES]:
        path: Path = ("proxies", index)
        try:
            prefix = IPv6Network(text.strip())
        except ValueError as error:
            report.add("trust-translation", path, f"`{text[:80]}` is no IPv6 prefix: {error}"[:200])
            continue
        if prefix.prefixlen not in LENGTHS:
            lengths = ", ".join(map(str, LENGTHS))
            report.add(
                "trust-translation", path, f"`{prefix}` has {prefix.prefixlen} bits, not one of {lengths}"
            )
        elif prefix.network_address.packed[8]:
            report.add("trust-translation", path, f"`{prefix}` has bits set from 64 to 71, which are zero")
        else:
            prefixes.append(prefix)
    return tuple(dict.fromkeys(prefixes))


def compile_list(
    key: str,
    lists: dict[str, list[str]],
    identities: Sequence[IdentitySpec],
    report: Report,
    winning: AccessList | None = None,
) -> AccessList:
    """Return the list under this key; note entries that the `winning` list takes back whole."""
    by_name = {spec.name: spec for spec in identities if spec.name not in HIDDEN}
    spans = _Spans(winning.networks if winning else ())
    taken_back = set(winning.values) if winning else set()
    networks: list[Network] = []
    values: list[tuple[int, str]] = []
    for name, entries in lists.items():
        spec = by_name.get(name)
        if spec is None:
            report.add(
                "identity-unknown", (key, name), f"`{name[:64]}` is not declared", did_you_mean(name, by_name)
            )
            continue
        if name == CLUSTER:
            report.add("list-identity", (key, name), "actors come and go; a list cannot name them")
            continue
        is_address = all(source.record.is_address for source in spec.sources)
        for index, text in enumerate(entries):
            path: Path = (key, name, index)
            if is_address:
                network = parse_network(text, path, report)
                if network is not None:
                    networks.append(network)
                    if spans.cover(network):
                        report.add(
                            "list-contradiction", path, f"`{network}` is denied here and allowed above"
                        )
                continue
            if not text:
                report.add("policy-value", path, "an empty text is no identity")
            elif not _can_occur(spec, text):
                report.add("list-value", path, f"no request has this `{name}`: it is malformed")
            values.append((spec.index, text))
            if (spec.index, text) in taken_back:
                # The value itself may be a secret and is not repeated.
                report.add("list-contradiction", path, f"this `{name}` is both denied and allowed")
    if any(network.prefixlen == 0 for network in merge(networks)):
        report.add("list-everyone", (key,), f"`{key}` covers every address there is")
    return AccessList(tuple(dict.fromkeys(networks)), tuple(dict.fromkeys(values)))


def _can_occur(spec: IdentitySpec, text: str) -> bool:
    """Return whether some source of an identity has a canonical form of this value."""
    value = text.encode("utf-8")
    return any(
        source.record.is_address or canonical(source.record.reading, source.read_as, value)
        for source in spec.sources
    )


class _Spans:
    """Ranges as sorted spans of numbers, to find out fast whether one covers another."""

    def __init__(self, networks: Iterable[Network]) -> None:
        merged = merge(networks)
        self.starts = sorted((network.version, int(network.network_address)) for network in merged)
        self.ends = {
            (network.version, int(network.network_address)): int(network.broadcast_address)
            for network in merged
        }

    def cover(self, network: Network) -> bool:
        at = bisect_right(self.starts, (network.version, int(network.network_address))) - 1
        if at < 0 or self.starts[at][0] != network.version:
            return False
        return int(network.broadcast_address) <= self.ends[self.starts[at]]


def merge(networks: Iterable[Network]) -> list[Network]:
    """Return the same addresses in as few ranges as possible."""
    found = list(networks)
    v4 = [network for network in found if isinstance(network, IPv4Network)]
    v6 = [network for network in found if isinstance(network, IPv6Network)]
    return [*collapse_addresses(v4), *collapse_addresses(v6)]
