"""The facts that a policy needs of a request: the extractor of identities, and which of them are needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from ratelimit.core.request.scanner import Translations
from ratelimit.deciding.denials import address_position
from ratelimit.identity.extract import Extractor
from ratelimit.identity.fact import Fact
from ratelimit.identity.origins import Origins
from ratelimit.identity.proxies import AddressRanges, ProxyChain
from ratelimit.lists.access import AccessLists
from ratelimit.policy.compile.compiled import CompiledPolicy
from ratelimit.policy.compile.identities import ACCOUNT
from ratelimit.stores.contract import Store


def make_extractor(
    compiled: CompiledPolicy,
    store: Store,
    diagnose: Callable[..., None],
    *,
    is_asked: bool = False,
    allowed: Sequence[tuple[int, int]] = (),
    denied: Sequence[tuple[int, int]] = (),
) -> Extractor:
    """Return the extractor of a policy's identities.

    Args:
        is_asked: whether for those that limits asked by name need.
        allowed: positions and hashes that are on the allow list beside what the policy says.
        denied: the same of the deny list.
    """
    facts = [
        Fact(
            name=spec.name,
            sources=tuple(source.as_source() for source in spec.sources),
            missing=spec.missing,
            v4=spec.v4_prefix,
            v6=spec.v6_prefix,
        )
        for spec in compiled.identities
    ]
    trust = compiled.trust
    translations = Translations(
        (network.network_address.packed, network.prefixlen) for network in trust.translation
    )
    proxies = ProxyChain(
        trust.networks, header=trust.header, trusts_unaddressed=trust.unix, translations=translations
    )
    without_lists = AccessLists(allow_ranges=AddressRanges(()), deny_ranges=AddressRanges(()))
    needed = needed_positions(compiled, is_asked=is_asked) | {at for at, _ in (*allowed, *denied)}
    if compiled.deny.networks:
        needed |= {address_position(compiled)} - {-1}  # whom it refuses is noted by the address
    evidence = set() if compiled.correlation is None else compiled.correlation.positions
    counted = listed_positions(compiled) - evidence
    counted |= positions_of(compiled, {limit.index for limit in compiled.limits})
    optional = {at for at, fact in enumerate(facts) if fact.missing == "skip"} - counted
    known = None if compiled.correlation is None else compiled.correlation.known
    origins = None
    public = () if compiled.correlation is None else compiled.correlation.public
    if public or (known is not None and known.looks_at_addresses):
        infrastructure = () if known is None else known.infrastructure
        organisations = () if known is None else known.organisations
        origins = Origins(infrastructure, [each.networks for each in organisations], public)
    extractor = partial(
        Extractor,
        facts,
        store.hasher,
        chain=proxies,
        origins=origins,
        translations=translations,
        needed=needed,
        evidence=evidence,
        optional=optional,
        numbers=compiled.numbers,
        diagnose=diagnose,
    )
    plain = extractor(lists=without_lists)
    if not compiled.allow and not compiled.deny and not allowed and not denied:
        return plain
    allow, deny = (
        [
            (position, spelled)
            for position, value in listed.values
            for spelled in plain.value_hashes(facts[position].name, value)
        ]
        for listed in (compiled.allow, compiled.deny)
    )
    lists = AccessLists(
        allow_ranges=AddressRanges(compiled.allow.networks),
        deny_ranges=AddressRanges(compiled.deny.networks),
        allow_values=[*allow, *allowed],
        deny_values=[*deny, *denied],
    )
    return extractor(lists=lists)


def needed_positions(compiled: CompiledPolicy, *, is_asked: bool = False) -> set[int]:
    """Return the identities that a limit, a list, a tier or the correlation asks for.

    A limit that only routes ask for by name costs other requests nothing: it counts if `is_asked`.
    """
    limits = {limit.index for limit in compiled.limits if limit.match or is_asked}
    return listed_positions(compiled) | positions_of(compiled, limits)


def positions_of(compiled: CompiledPolicy, limits: set[int]) -> set[int]:
    """Return the identities that these limits and their tiers ask for."""
    rules = [rule for rule in compiled.rules if rule.limit in limits]
    needed = {position for rule in rules for position in (*rule.per, rule.member, rule.tier_identity)}
    needed |= {position for rule in rules for spec in rule.specs for position in spec.positions}
    needed |= {position for spec in compiled.specs for position in spec.positions_for(rules)}
    needed |= {limit.tier_identity for limit in compiled.limits if limit.index in limits}
    return needed - {-1}


def listed_positions(compiled: CompiledPolicy) -> set[int]:
    """Return the identities that lists, features and the correlation look at, whatever limits apply."""
    listed = {position for lists in (compiled.allow, compiled.deny) for position, _ in lists.values}
    listed |= {position for spec in compiled.specs for position in spec.positions}
    if compiled.looks_at_account:
        listed |= {payer_position(compiled)} - {-1}
    listed |= set(compiled.facts)
    return listed if compiled.correlation is None else listed | compiled.correlation.positions


def payer_position(compiled: CompiledPolicy) -> int:
    """Return the identity that use of the back end is counted by.

    The principal, or what limits count by first that is no address, or what is called `account`;
    -1 where nothing tells one account from another.
    """
    if compiled.correlation is not None and compiled.correlation.principal:
        return compiled.correlation.principal[0]
    counted = [at for rule in compiled.rules if not rule.is_clustered for at in rule.per]
    declared = [spec.index for spec in compiled.identities if spec.name == ACCOUNT]
    for at in (*counted, *declared):
        if not any(source.record.is_address for source in compiled.identities[at].sources):
            return at
    return counted[0] if counted else -1
