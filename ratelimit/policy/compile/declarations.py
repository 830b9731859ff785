"""The operator's declarations, checked. Values stay values here; binding a policy hashes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path as FilePath

from ratelimit.environment.file import read_file
from ratelimit.environment.spelling import did_you_mean
from ratelimit.policy.compile.access import merge, parse_network
from ratelimit.policy.compile.compiled import KnownSpec, Network, OrganisationSpec
from ratelimit.policy.schema.knowledge import Known, Organisation, Principal
from ratelimit.policy.schema.model import Correlation
from ratelimit.policy.schema.problem import Path, Report

MAX_PRINCIPALS = 10_000
"""In all of `exempt`, `together`, `apart`, `confirm` and `clear`."""
MAX_GROUPS = 1000
MAX_APART = 100
"""In one group of `apart`, each compared with those before."""
LONGEST_NAME = 64
MAX_ORGANISATIONS = 1000
MAX_MEMBERS = 10_000
"""Accounts, payment methods and ranges of one organisation."""
MAX_NETWORKS = 200_000
MAX_LIST_BYTES = 8 << 20
_PUBLIC = FilePath(__file__).parents[1] / "public"
SHIPPED = {name: _PUBLIC / f"{name}.txt" for name in ("cloud", "relay", "runner")}
"""Lists of public ranges that come with the library; each says from where, and of when."""

_HERE: Path = ("correlation", "known")
_MAPPED = IPv6Network("::ffff:0:0/96")


def compile_known(known: Known, parts: int, file: str, report: Report) -> KnownSpec | None:
    """Return what is known, None for nothing.

    Args:
        known: the table.
        parts: how many identities make a principal.
        file: the policy's own path, next to which lists lie.
        report: told what is wrong.
    """
    reader = _Principals(parts, report)
    exempt = reader.read_principals(known.exempt, (*_HERE, "exempt"))
    together = _groups(known.together, "together", reader, report)
    apart = _groups(known.apart, "apart", reader, report)
    confirm = reader.read_principals(known.confirm, (*_HERE, "confirm"))
    clear = reader.read_principals(known.clear, (*_HERE, "clear"))
    if reader.count > MAX_PRINCIPALS:
        report.add("policy-too-many", _HERE, f"{reader.count} accounts; {MAX_PRINCIPALS} are the most")
    for number, group in enumerate(apart):
        if len(group) > MAX_APART:
            report.add(
                "policy-too-many",
                (*_HERE, "apart", number),
                f"{len(group)} accounts; {MAX_APART} are the most",
            )
    _check_contradictions(set(exempt), together, apart, report)
    _check_confirm_and_clear(confirm, set(clear), set(exempt), together, report)
    spec = KnownSpec(
        exempt,
        together,
        apart,
        _organisations(known.organisations, parts, report),
        _infrastructure(known.networks, FilePath(file).parent, report),
        confirm,
        clear,
    )
    return spec if spec else None


class _Principals:
    """Reads principals as tuples of values."""

    def __init__(self, parts: int, report: Report) -> None:
        self._parts = parts
        self._report = report
        self.count = 0

    def read_principals(self, listed: Sequence[Principal], path: Path) -> tuple[tuple[str, ...], ...]:
        found = []
        for number, written in enumerate(listed):
            self.count += 1
            values = (written,) if isinstance(written, str) else tuple(written)
            if len(values) != self._parts:
                self._report.add(
                    "known-principal",
                    (*path, number),
                    f"{len(values)} given, {self._parts} make an account here",
                )
            elif not all(values):
                self._report.add("policy-value", (*path, number), "an empty text is no identity")
            else:
                found.append(values)
        return tuple(dict.fromkeys(found))


Group = tuple[tuple[str, ...], ...]


def _groups(
    listed: Sequence[Sequence[Principal]], key: str, reader: _Principals, report: Report
) -> tuple[Group, ...]:
    if len(listed) > MAX_GROUPS:
        report.add("policy-too-many", (*_HERE, key), f"{len(listed)} groups; {MAX_GROUPS} are the most")
    groups = []
    for number, written in enumerate(listed[:MAX_GROUPS]):
        group = reader.read_principals(written, (*_HERE, key, number))
        if len(group) < 2:
            report.add("known-group", (*_HERE, key, number), "fewer than two accounts are no group")
        else:
            groups.append(group)
    return tuple(groups)


def _check_contradictions(
    exempt: set[tuple[str, ...]], together: Sequence[Group], apart: Sequence[Group], report: Report
) -> None:
    # Values may be secrets and are not repeated.
    group_of: dict[tuple[str, ...], int] = {}
    for number, group in enumerate(together):
        for principal in group:
            if principal in exempt:
                report.add(
                    "known-contradiction", (*_HERE, "together", number), "one of them is under `exempt` too"
                )
            if group_of.setdefault(principal, number) != number:
                report.add(
                    "known-contradiction", (*_HERE, "together", number), "one of them is in another group too"
                )
    for number, group in enumerate(apart):
        groups = [group_of[principal] for principal in group if principal in group_of]
        if len(set(groups)) < len(groups):
            report.add(
                "known-contradiction", (*_HERE, "apart", number), "two of them are in one group of `together`"
            )


def _check_confirm_and_clear(
    confirm: Group,
    clear: set[tuple[str, ...]],
    exempt: set[tuple[str, ...]],
    together: Sequence[Group],
    report: Report,
) -> None:
    for number, principal in enumerate(confirm):
        for key, others in (("clear", clear), ("exempt", exempt)):
            if principal in others:
                path: Path = (*_HERE, "confirm", number)
                report.add("known-contradiction", path, f"it is under `{key}` too")
    for number, group in enumerate(together):
        # A list is one actor because the operator says so, which confirms it.
        if not clear.isdisjoint(group):
            path = (*_HERE, "together", number)
            report.add("known-contradiction", path, "one of them is under `clear` too")


def _organisations(
    listed: Mapping[str, Organisation], parts: int, report: Report
) -> tuple[OrganisationSpec, ...]:
    path: Path = (*_HERE, "organisations")
    if len(listed) > MAX_ORGANISATIONS:
        report.add("policy-too-many", path, f"{len(listed)} organisations; {MAX_ORGANISATIONS} are the most")
    specs: list[OrganisationSpec] = []
    owners: dict[object, str] = {}
    spans: list[tuple[Network, str, Path]] = []

    def own(name: str, kind: str, keys: Sequence[object], here: Path) -> None:
        for at, key in enumerate(keys):
            owner = owners.setdefault((kind, key), name)
            if owner != name:
                report.add("known-contradiction", (*here, kind, at), f"`{owner}` has this as well")

    # What is wrong with one that is no table was told already.
    usable = [(name, one) for name, one in listed.items() if isinstance(one, Organisation)]
    for name, organisation in usable[:MAX_ORGANISATIONS]:
        here: Path = (*path, name)
        if not 0 < len(name) <= LONGEST_NAME:
            report.add("policy-value", here, f"a name has 1 to {LONGEST_NAME} characters")
        for key in ("payment", "network", "account"):
            entries = getattr(organisation, key)
            if len(entries) > MAX_MEMBERS:
                report.add(
                    "policy-too-many", (*here, key), f"{len(entries)} entries; {MAX_MEMBERS} are the most"
                )
        reader = _Principals(parts, report)
        accounts = reader.read_principals(organisation.account[:MAX_MEMBERS], (*here, "account"))
        for at, text in enumerate(organisation.payment):
            if not text:
                report.add("policy-value", (*here, "payment", at), "an empty text is no identity")
        networks = []
        for at, text in enumerate(organisation.network[:MAX_MEMBERS]):
            network = parse_network(text, (*here, "network", at), report)
            if network is not None:
                networks.append(network)
                spans.append((network, name, (*here, "network", at)))
        own(name, "payment", organisation.payment, here)
        own(name, "account", accounts, here)
        if not (organisation.payment or networks):
            report.add("known-organisation", here, f"nothing that `{name}` shares is named")
        specs.append(OrganisationSpec(name, tuple(organisation.payment), tuple(networks), accounts))
    _check_overlaps(spans, report)
    return tuple(specs)


def _check_overlaps(spans: list[tuple[Network, str, Path]], report: Report) -> None:
    # Networks are nested or apart; sorted, one that is nested comes after what it lies in.
    around: list[tuple[Network, str]] = []
    for network, name, path in sorted(
        spans, key=lambda span: (span[0].version, int(span[0].network_address), span[0].prefixlen)
    ):
        while around and not _lies_in(network, around[-1][0]):
            around.pop()
        if around and around[-1][1] != name:
            report.add("known-contradiction", path, f"`{network}` is `{around[-1][1]}`'s as well")
        around.append((network, name))


def _lies_in(inner: Network, outer: Network) -> bool:
    return inner.version == outer.version and inner.network_address in outer


def _infrastructure(listed: list[str], folder: FilePath, report: Report) -> tuple[Network, ...]:
    found: list[Network] = []
    for number, text in enumerate(listed):
        path: Path = (*_HERE, "networks", number)
        if text.startswith("file:"):
            found += _listed(folder / text.removeprefix("file:"), path, report)
        else:
            network = parse_network(text, path, report)
            if network is not None:
                found.append(network)
    if len(found) > MAX_NETWORKS:
        report.add(
            "policy-too-many", (*_HERE, "networks"), f"{len(found)} networks; {MAX_NETWORKS} are the most"
        )
        return ()
    return tuple(merge(found))


def compile_public(table: Correlation, folder: FilePath, report: Report) -> tuple[tuple[Network, ...], ...]:
    """Return the ranges of each public list.

    Args:
        table: names them.
        folder: where the policy's own lists lie.
        report: told what is wrong.
    """
    if table.principal is None:
        return ()
    found = []
    for number, text in enumerate(table.public):
        path: Path = ("correlation", "public", number)
        if text in SHIPPED:
            found.append(_shipped(SHIPPED[text], path, report))
        elif text.startswith("file:"):
            found.append(tuple(merge(_listed(folder / text.removeprefix("file:"), path, report))))
        else:
            hint = did_you_mean(text, SHIPPED) or "Use `cloud`, `relay`, `runner`, or `file:PATH` of a list."
            report.add("known-list", path, f"`{text[:64]}` is no list", hint)
    if sum(map(len, found)) > MAX_NETWORKS:
        path = ("correlation", "public")
        report.add("policy-too-many", path, f"more than {MAX_NETWORKS} ranges in all")
        return ()
    return tuple(found)


_READ: dict[FilePath, tuple[Network, ...]] = {}
"""Lists that came with the library, as they were read first: thousands of ranges, a quarter of a second."""


def _shipped(path: FilePath, place: Path, report: Report) -> tuple[Network, ...]:
    """Return the ranges of a list that comes with the library, read once by a process."""
    if path not in _READ:
        listed = tuple(merge(_listed(path, place, report)))
        if not listed:
            return ()
        _READ[path] = listed
    return _READ[path]


def _listed(path: FilePath, place: Path, report: Report) -> list[Network]:
    """Return the ranges in a file: one a line, `#` begins a comment."""
    try:
        raw = read_file(path, MAX_LIST_BYTES)
        text = raw.decode("utf-8-sig")
    except OSError as error:
        report.add("known-list", place, f"`{path}` cannot be read: {error.strerror or error}")
        return []
    except UnicodeDecodeError:
        report.add("known-list", place, f"`{path}` is not UTF-8 text")
        return []
    if len(raw) > MAX_LIST_BYTES:
        report.add("known-list", place, f"`{path}` has more than {MAX_LIST_BYTES} bytes")
        return []
    found: list[Network] = []
    for number, line in enumerate(text.splitlines(), 1):
        written = line.partition("#")[0].strip()
        if not written:
            continue
        try:
            network = ip_network(written, strict=False)
        except ValueError:
            report.add(
                "known-list", place, f"`{path}`, line {number}: `{written[:80]}` is no address or range"
            )
            return []
        if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
            network = IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - 96))
        found.append(network)
    return found
