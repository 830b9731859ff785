"""The resolution of what a person names: a value as applications write it, or a hash as screens show it.

One place for all commands that act or look somebody up. A name is one of:

- the value of an identity, such as an account, an address, a network as `203.0.113.0/24` or a payment method;
- `NAME=VALUE`, where the value could be of several identities;
- 8 to 16 digits of a hash, with or without `hash:`, of an account, an actor or another identity, or of
  several identities that a limit counts together.

A name that fits several callers is an error that lists them. One that fits none is not known: acts ask
first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Literal

from ratelimit.clock import SystemClock
from ratelimit.clustering.declarations import principal_key
from ratelimit.core.clusters.cluster_index import cluster_of
from ratelimit.core.clusters.reasons import reasons
from ratelimit.environment.spelling import nearest
from ratelimit.errors import StoreError
from ratelimit.identity.address import parse_address
from ratelimit.inspection import formatting
from ratelimit.inspection.callers.knowledge import Knowledge
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.inspection.identities import short_hash
from ratelimit.inspection.journal.entries import journal_of
from ratelimit.policy.compile.compiled import LimitRule
from ratelimit.policy.compile.identities import CLUSTER, INTERNAL

_DIGITS = re.compile(r"(?:hash:)?([0-9a-f]{8,16})")
_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_ADDRESS, _NETWORK, _PAYMENT, _BLOCK = 0, 1, 2, 7
_PLACES = (_ADDRESS, _NETWORK, _BLOCK)
DECLARED = (_ADDRESS, _NETWORK)
"""The kinds of which the correlator's hash says in its lowest bit whether they are declared."""
EVERYONE = "everyone"
"""The name that screens give the one counter of a limit that counts by no identity."""
What = Literal["account", "actor", "identity", "together"]
"""The last: several identities that one limit counts together, which have one hash."""


@dataclass(frozen=True, slots=True)
class Caller:
    """One caller that a person named."""

    written: str
    what: What
    identity: str
    """The identity's name; of an actor `cluster`, of an account of several identities all their names.

    Of several that a limit counts together it is as screens have it: `account + ip`.
    """
    hashes: tuple[int, ...]
    """The hash, and others where the identity's sources write the value in several forms."""
    is_known: bool
    """Whether a limit, the correlator or an act here has met it."""
    limit: str = ""
    """The limit that counts several identities together; empty for all others."""

    @property
    def hash(self) -> int:
        """The hash that screens show."""
        return self.hashes[0]

    @property
    def label(self) -> str:
        """What screens call it."""
        return f"{'actor' if self.what == 'actor' else self.identity} {short_hash(self.hash)}"


def named(known: Knowledge, value: str, identity: str | None = None) -> Caller:
    """Return the caller that a program names by a value of an identity, or by `hash:` and a hash.

    A program's account may look like a hash, and is not to be taken for somebody else's.

    Raises:
        InspectionFailure: it is no value of the identity, or it is not clear of which.
    """
    name = identity or known.account
    if name is None:
        raise InspectionFailure("it is not clear which identity accounts are of", "call")
    if value.startswith("hash:") or name not in _names(known):
        return resolve(known, value, name)
    values = _by_value(known, value, name)
    return _only(value, values) if values else _unknown(known, value, name, values)


def resolve(known: Knowledge, written: str, identity: str | None = None) -> Caller:
    """Return the caller that a person names.

    Args:
        known: what is known here.
        written: as typed.
        identity: the identity that it is of, if the person says so.

    Raises:
        InspectionFailure: it fits several callers, or it is a hash that fits none.
    """
    names = _names(known)
    head, has_name, tail = written.partition("=")
    label, _, digits = written.partition(":")
    if not has_name and label in (*names, "actor") and _DIGITS.fullmatch(digits.lower()):
        head, has_name, tail = label, "=", digits  # as screens have it
    if identity is None and has_name and (head in names or head in ("actor", CLUSTER)):
        identity, written = head, tail
    if identity in ("actor", CLUSTER):
        return _only(written, [each for each in _by_hash(known, written) if each.what == "actor"])
    if identity is not None and identity not in names:
        near = nearest(identity, names)
        hint = f"Did you mean `{near}`?" if near else f"The policy has {', '.join(names)}."
        raise InspectionFailure(f"`{identity}` is no identity of this policy", "call", hint=hint)
    is_hash = written.startswith("hash:")
    values = [] if is_hash else _by_value(known, written, identity)
    hashes = [
        each for each in _by_hash(known, written, identity) if identity is None or each.identity == identity
    ]
    found = [each for each in values if each.is_known]
    if identity is None or not found:  # `NAME=VALUE` means a value first
        found = _distinct([*found, *hashes])
    if found:
        return _only(written, found)
    if is_hash or _DIGITS.fullmatch(written):
        whole = _whole(written)
        if whole is not None and (name := identity or known.account) is not None:
            is_known = name in names and _is_known(known, name, names[name], whole)
            return Caller(written, _kind(known, name), name, forms_of(known, name, whole), is_known=is_known)
        hint = "It may have left the screens since: write the value itself, or all 16 digits."
        if not is_hash and known.account is not None:
            hint += f" If that is how the application writes it: {known.account}={written}."
        if identity is None or is_hash:
            raise InspectionFailure(f"nobody known here has the hash {written}", "input", hint=hint)
    if identity is None and not has_name and label in names and digits and parse_address(written) is None:
        return resolve(known, digits, label)  # as `label=digits`
    if not (has_name and tail):
        head, tail = (
            (label, digits) if parse_address(written) is None and _network(written) is None else ("", "")
        )
    if identity is None and tail and _NAME.fullmatch(head):
        own = known.account or next(iter(names), "account")
        hint = f"Did you mean `{nearest(head, names) or own}={tail}`? "
        hint += f"If that is how the application writes it: {own}={written}."
        raise InspectionFailure(f"no identity `{head}`; there are {', '.join(names)}", "call", hint=hint)
    return _unknown(known, written, identity, values)


def joined(known: Knowledge, words: Sequence[str]) -> list[str]:
    """Return names as they were typed; the words of a label are one.

    A label is `account 7102e16a`, or `account + ip 7102e16a` where a limit counts several together.
    """
    names = {*_names(known), "actor", EVERYONE}
    found: list[str] = []
    for word in words:
        if found and found[-1] in names and _DIGITS.fullmatch(word.lower()):
            plain = f"hash:{word.lower().removeprefix('hash:')}"
            found[-1] = plain if found[-1] == EVERYONE else f"{found[-1]}={word.lower()}"
            while found[-2:-1] == ["+"]:
                found[-3:] = [plain]
        else:
            found.append(word)
    return found


def payment_identity(known: Knowledge) -> str:
    """Return the identity that payment methods are of.

    Raises:
        InspectionFailure: the policy has none.
    """
    spec = known.compiled.correlation
    if spec is None or spec.kinds[_PAYMENT] < 0:
        raise InspectionFailure("the policy's correlation has no `payment`", "call")
    return known.compiled.identities[spec.kinds[_PAYMENT]].name


def resolved_network(known: Knowledge, written: str) -> Caller:
    """Return an address, a network or a block that a person named.

    Raises:
        InspectionFailure: it is not known, or no identity of `[correlation] network`.
    """
    spec = known.compiled.correlation
    if spec is None:
        raise InspectionFailure("the policy has no correlation", "call")
    names = [known.compiled.identities[spec.kinds[each]].name for each in _PLACES if spec.kinds[each] >= 0]
    caller = resolve(known, written)
    if caller.identity not in names:
        words = f"`{caller.label}` is of `{caller.identity or caller.what}`, and no network"
        raise InspectionFailure(words, "call", hint=f"Write {', '.join(f'{each}=VALUE' for each in names)}.")
    return caller


def _unknown(known: Knowledge, written: str, identity: str | None, values: Sequence[Caller]) -> Caller:
    specs = known.compiled.identities
    addresses = [spec.name for spec in specs if spec.is_address]
    is_address = parse_address(written) is not None or _network(written) is not None
    if identity is None and is_address and addresses:
        found = next((each.identity for each in values if each.identity in addresses), None)
        if found is None:
            words = f"no identity of this policy is of networks as wide as {written}"
            raise InspectionFailure(words, "input", hint="Write an address in it, as `network=ADDRESS`.")
        identity = found
    name = identity or known.account
    fitting = [each for each in values if each.identity == name] or (
        [each for each in values if each.what == "account"] if identity is None else []
    )
    if fitting:
        return fitting[0]
    if name is None:
        hint = f"Write `NAME={written}`; the policy has {', '.join(_names(known))}."
        raise InspectionFailure("it is not clear which identity is meant", "call", hint=hint)
    raise InspectionFailure(f"`{written}` is no value that `{name}` can have", "call")


def _names(known: Knowledge) -> dict[str, int]:
    return {spec.name: spec.index for spec in known.compiled.identities if spec.name not in INTERNAL}


def _kind(known: Knowledge, name: str) -> What:
    spec = known.compiled.correlation
    if spec is None:
        return "account" if name == known.account else "identity"
    is_principal = [known.compiled.identities[each].name for each in spec.principal] == [name]
    return "account" if is_principal else "identity"


def _by_value(known: Knowledge, written: str, identity: str | None) -> list[Caller]:
    """Return what a value may be: of each identity, and of the principal if that is made of several."""
    names = _names(known)
    found = []
    network = _network(written)
    for name in names if identity is None else [identity]:
        value = written
        if network is not None and (prefix := _prefix(known, names[name], network.version)):
            if prefix != network.prefixlen:
                continue  # another identity's networks are as wide
            value = str(network.network_address)
        hashes = tuple(one for one in known.bound.extractor.value_hashes(name, value) if one >= 0)
        if len(hashes) > 1:  # first the form that something here has met: limits and the actor go by it
            hashes = tuple(sorted(hashes, key=lambda one: not _is_known(known, name, names[name], one)))
        if hashes:
            is_known = any(_is_known(known, name, names[name], one) for one in hashes)
            found.append(Caller(written, _kind(known, name), name, hashes, is_known))
    spec = known.compiled.correlation
    parts = written.split(",")
    if (
        identity is None
        and spec is not None
        and len(spec.principal) > 1
        and len(parts) == len(spec.principal)
    ):
        identities = known.compiled.identities
        of = [identities[each].name for each in spec.principal]
        values = [part.removeprefix(f"{name}=") for part, name in zip(parts, of, strict=True)]
        key = principal_key(spec, identities, known.bound.extractor, values)
        if key is not None:
            found.append(Caller(written, "account", ",".join(of), (key,), known.is_account(key)))
    return _one_address(known, found)


def _network(written: str) -> IPv4Network | IPv6Network | None:
    """Return the network that a person writes with its prefix, such as `203.0.113.7/24`."""
    if "/" not in written:
        return None
    try:
        return ip_network(written, strict=False)
    except ValueError:
        return None


def _prefix(known: Knowledge, position: int, version: int) -> int:
    """Return the width of the networks that an identity is of; 0 where it is none of the client's address."""
    spec = known.compiled.identities[position]
    if not spec.is_address:
        return 0
    return spec.v4_prefix if version == 4 else spec.v6_prefix


def _one_address(known: Knowledge, found: list[Caller]) -> list[Caller]:
    """Return callers without the networks of an address: these are meant by their names alone."""
    specs = {spec.name: spec for spec in known.compiled.identities}

    def width(each: Caller) -> int:
        spec = specs.get(each.identity)
        return spec.v4_prefix if spec is not None and spec.is_address else -1

    widest = max((width(each) for each in found), default=-1)
    return [each for each in found if width(each) in (-1, widest)]


def _is_known(known: Knowledge, name: str, position: int, hashed: int) -> bool:
    if _kind(known, name) == "account" and known.is_account(hashed):
        return True
    if known.accounts_with(hashed):
        return True
    if any(hashed in act.hashes for act in known.acts):
        return True
    return _is_counted(known, position, hashed)


def _by_hash(known: Knowledge, written: str, identity: str | None = None) -> list[Caller]:
    """Return the callers whose hash begins with what was written; of an identity, if it is named."""
    written = written.lower()
    match = _DIGITS.fullmatch(written)
    if match is None:
        return []
    digits = match[1]
    first, shift = int(digits, 16), 64 - 4 * len(digits)

    def fitting(shown: Iterable[_Shown]) -> list[Caller]:
        # Of an actor with many accounts, a caller for each would take longer than the search.
        return [
            Caller("", what, name, (hashed,), True, limit)
            for what, name, hashed, limit in shown
            if hashed >> shift == first
        ]

    whole = _whole(written)
    if whole is None:
        found = fitting(_shown(known))
    else:  # the correlator finds an account by its hash, without looking through all
        found = fitting(_shown(known, with_members=False))
        if known.is_account(whole):
            found.append(Caller("", "account", _own(known), (whole,), is_known=True))
    if not found and whole is not None and identity is not None and known.accounts_with(whole):
        # A page leads to the address by its name: the members of an actor need not be looked through.
        return [Caller("", _kind(known, identity), identity, forms_of(known, identity, whole), is_known=True)]
    if not found:
        found = [
            Caller("", each.what, each.identity, forms_of(known, each.identity, each.hash), is_known=True)
            for each in fitting(_seen_with(known))
        ]
    if not found:
        found = [
            Caller("", what, name, (one,) if what == "actor" else forms_of(known, name, one), True, limit)
            for what, name, one, limit in {
                (each.what, each.identity, each.hash, each.limit) for each in fitting(_shown_of_hosts(known))
            }
        ]
    return _distinct(found)


def forms_of(known: Knowledge, identity: str, hashed: int) -> tuple[int, ...]:
    """Return what limits may count an address or a network by, of which the correlator has a hash.

    There the lowest bit says what is declared of it. So it is one of two; first the one that is counted.
    """
    spec = known.compiled.correlation
    position = _names(known).get(identity, -1)
    if spec is None or position < 0 or position not in [spec.kinds[each] for each in DECLARED]:
        return (hashed,)
    # Each look is a question to the server: the second form is asked only if it is not the first.
    is_other = not _is_counted(known, position, hashed) and _is_counted(known, position, hashed ^ 1)
    return (hashed ^ 1, hashed) if is_other else (hashed, hashed ^ 1)


def _is_counted(known: Knowledge, position: int, hashed: int) -> bool:
    if any(
        each.hash == hashed and each.rule.per == (position,) and not each.in_shadow for each in known.refused
    ):
        return True
    try:
        left = known.left(known.row_of({position: hashed}))
    except InspectionFailure:  # the server does not answer: nobody can say
        return False
    return any(not each.is_full and position in each.rule.per for each in left)


def _whole(written: str) -> int | None:
    digits = written.removeprefix("hash:")
    return int(digits, 16) if len(digits) == 16 else None


def _own(known: Knowledge) -> str:
    """Return the name of what accounts are of: several identities together have all their names."""
    spec = known.compiled.correlation
    if spec is None:
        return known.account or ""
    return ",".join(known.compiled.identities[each].name for each in spec.principal)


_Shown = tuple[What, str, int, str]
"""One whose hash a screen shows: what it is, of which identity, the hash, and of several a limit's name."""


def _counted(known: Knowledge, rule: LimitRule, hashed: int) -> _Shown:
    """Return what a limit counts by a hash."""
    compiled = known.compiled
    if len(rule.per) != 1:
        return "together", formatting.per(rule, compiled), hashed, rule.name
    if rule.is_clustered:
        return "actor", CLUSTER, cluster_of(hashed), ""
    name = compiled.identities[rule.per[0]].name
    return _kind(known, name), name, hashed, ""


def _shown(known: Knowledge, *, with_members: bool = True) -> Iterator[_Shown]:
    """Yield those whose hashes screens show: actors, their accounts, the refused, those of acts."""
    own = _own(known)
    for actor in known.actors:
        yield "actor", CLUSTER, actor.identity, ""
        for key, _ in actor.members if with_members else ():
            yield "account", own, key, ""
    for each in known.refused:
        yield _counted(known, each.rule, each.hash)
    for denied in known.denied:
        yield _kind(known, denied.per), denied.per, denied.hash, ""
    for act in known.acts:
        for key in act.accounts:
            name = act.identity or own
            yield "account" if name == own else "identity", name, key, ""


def _shown_of_hosts(known: Knowledge) -> Iterator[_Shown]:
    """Yield the callers in other screens: acts that ended, refusals of other hosts, those that took most."""
    # These look at hosts, which few names need.
    from ratelimit.inspection.callers.takings import DAY_NS, hours_taken
    from ratelimit.inspection.hosts.moment import hosts_of

    own, compiled, now_ns = _own(known), known.compiled, SystemClock().now_ns()
    for act in known.log:
        for key in (*act.accounts, *act.payments):
            name = act.identity or own
            yield _kind(known, name), name, key, ""
    rules = {rule.name: rule for rule in reversed(compiled.rules)}
    took: list[tuple[str, int]] = []
    with suppress(InspectionFailure, StoreError), journal_of(known.deployment.policy) as journal:
        took = [
            (limit, one)
            for hour in hours_taken(journal, now_ns - 7 * DAY_NS)
            for limit, callers in hour.limits.items()
            for one in callers
        ]
    with suppress(InspectionFailure, StoreError), hosts_of(known.deployment.policy) as hosts:
        moment = hosts.look()
        took += [(each.limit, each.hash) for each in moment.callers if not each.act]
        took += [
            (limit, int(one, 16))
            for host in moment.hosts
            for limit, callers in host.took.items()
            for one in callers
        ]
        yield from ((_kind(known, one.per), one.per, one.hash, "") for one in moment.callers if one.act)
    for limit, one in dict.fromkeys(took):
        if (rule := rules.get(limit)) is not None:
            yield _counted(known, rule, one)


def accounts_shown(known: Knowledge) -> Iterator[int]:
    """Yield accounts of which screens show something: those that are refused, and those of actors."""
    yield from (each.hash for each in known.refused if not each.is_actor)
    yield from (key for actor in known.actors for key, _ in actor.members)


def _seen_with(known: Knowledge) -> Iterator[_Shown]:
    """Yield the addresses and payment methods that accounts of actors, and refused ones, were seen with."""
    spec = known.compiled.correlation
    if known.source is None or spec is None:
        return
    core = known.source.correlator.core
    for key in accounts_shown(known):
        for one in (reasons(core, key) or {"shared": ()})["shared"]:
            position = spec.kinds[one["kind"]]
            if position >= 0:
                name = known.compiled.identities[position].name
                yield "identity", name, one["hash"], ""


def _distinct(found: Sequence[Caller]) -> list[Caller]:
    return list({(each.identity, each.hash): each for each in found}.values())


def _only(written: str, found: Sequence[Caller]) -> Caller:
    if not found:
        raise InspectionFailure(
            f"no actor has the id {written}", "input", hint="`ratelimit show actors` lists them."
        )
    if len(found) > 1:
        names = [_unambiguous(each) for each in found]
        hint = f"Write which is meant: {', '.join(names[:8])}."
        raise InspectionFailure(
            f"`{written}` fits {formatting.count(len(found), 'caller')}", "input", hint=hint
        )
    return found[0]


def _unambiguous(caller: Caller) -> str:
    if caller.written:
        return f"{caller.identity}={caller.written}"
    if caller.what == "together":
        return f"hash:{caller.hash:016x}"
    return f"{'actor=' if caller.what == 'actor' else f'{caller.identity}=hash:'}{caller.hash:016x}"
