"""The identities of a policy: their sources parsed, their settings checked, their positions given."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ratelimit.core.request.grammar import FORMS
from ratelimit.environment.spelling import did_you_mean
from ratelimit.facts.numbers import BY_PLACE
from ratelimit.facts.sources import number_hint, source_of, written_kinds
from ratelimit.policy.compile.compiled import NEVER, CacheSpec, IdentitySpec, SourceSpec
from ratelimit.policy.schema.duration import parse_duration
from ratelimit.policy.schema.model import Identity
from ratelimit.policy.schema.problem import Path, Report

ACCOUNT = "account"
"""An identity of this name is the account, where nothing says otherwise."""
CLUSTER = "cluster"
ORIGIN = "declared network"
ACTOR = "cluster, likely or certain"
LIKELY = "cluster, likely"
YOUNG = "cluster, a budget of a young one"
MOST_AMOUNTS = 16
AMOUNTS = tuple(f"own number {at}" for at in range(1, MOST_AMOUNTS + 1))
"""A customer's own numbers of limits."""
HIDDEN = frozenset((*AMOUNTS, YOUNG, LIKELY, ACTOR, ORIGIN, NEVER, *BY_PLACE))
"""These are no names that can be declared, or used anywhere in a policy."""
INTERNAL = HIDDEN | {CLUSTER}
"""Those that are found out, and that no request can name."""
BUILT_IN = {"ip": Identity("client")}
"""Known without being declared; a declaration of the same name replaces it."""
MAX_SOURCES = 8
PLACES = 4
"""Of an actor: see `CompiledPolicy.actor`."""
MOST_POSITIONS = 62
"""A request's identities lie in an array of 64, two of which are not the policy's."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_ADDRESS = re.compile(r"client(?:/(\d{1,3})/(\d{1,3}))?")
_PLAIN_V4, _PLAIN_V6 = 32, 64
"""The bits of an address that count where nothing else is written: a subscriber has an IPv6 network."""
_LONGEST_TTL_NS = 86_400 * 10**9
_CACHED = "60s"


def compile_identities(
    declared: dict[str, Identity],
    report: Report,
    *,
    has_origin: bool = False,
    numbers: Mapping[str, SourceSpec],
    has_never: bool = False,
    most_cached: int = 10_000,
) -> tuple[IdentitySpec, ...]:
    """Return the identities by position: declared ones first, then those built in.

    With `has_origin` one of these says from which declared network a request comes. Each of `numbers` has a
    number, and is called by its place in rows. With `has_never` one is there that no request has.
    Of each resolver `most_cached` answers are kept.
    """
    specs: list[IdentitySpec] = []
    for name, identity in declared.items():
        path: Path = ("identities", name)
        if name == CLUSTER:
            report.add("identity-name", path, "`cluster` comes from correlation and cannot be declared")
            continue
        if not _NAME.fullmatch(name):
            report.add("identity-name", path, f"`{name[:64]}` is not a name for an identity")
        specs.append(_compile_identity(len(specs), name, identity, path, most_cached, report))
    for name, identity in BUILT_IN.items():
        if name not in declared:
            specs.append(
                _compile_identity(len(specs), name, identity, ("identities", name), most_cached, report)
            )
    if has_origin:
        specs.append(IdentitySpec(len(specs), ORIGIN, (SourceSpec("origin"),), "skip"))
    for name, source in numbers.items():
        specs.append(IdentitySpec(len(specs), name, (source,), "skip"))
    if has_never:
        specs.append(IdentitySpec(len(specs), NEVER, (SourceSpec("never"),), "skip"))
    if len(specs) + PLACES > MOST_POSITIONS:
        most = MOST_POSITIONS - PLACES
        report.add("policy-too-many", ("identities",), f"{len(specs)} identities; {most} are the most")
    # An actor's four places: see `CompiledPolicy`.
    for name in (YOUNG, ACTOR, LIKELY, CLUSTER):
        specs.append(IdentitySpec(len(specs), name, (SourceSpec("cluster"),), "skip"))
    return tuple(specs)


def _compile_identity(
    index: int, name: str, identity: Identity, path: Path, most_cached: int, report: Report
) -> IdentitySpec:
    listed = isinstance(identity.from_, list)
    texts = list(identity.from_)[:MAX_SOURCES] if listed else [str(identity.from_)]
    if len(identity.from_) > MAX_SOURCES and listed:
        report.add("policy-too-many", (*path, "from"), f"an identity has at most {MAX_SOURCES} sources")
    if not texts:
        report.add("identity-source", (*path, "from"), "`from` names no source")
    sources = []
    for position, text in enumerate(texts):
        place: Path = (*path, "from", position) if listed else (*path, "from")
        source = parse_source(text, place, report)
        if source is not None:
            sources.append(source)
    lengths = _lengths([text for text in texts if text.startswith("client")], (*path, "from"), report)
    is_address = any(source.record.is_address for source in sources)
    if is_address and identity.missing == "client":
        report.add(
            "identity-missing",
            (*path, "missing"),
            f"`{name}` is the client's address; it cannot have a stand-in",
        )
    if identity.missing == "shared":
        hint = 'Write `missing = "refuse"`, or `"skip"`.' if is_address else None
        message = f"all requests without `{name}` share one counter"
        report.add("identity-shared", (*path, "missing"), message, hint)
    return IdentitySpec(
        index,
        name,
        tuple(sources),
        identity.missing or ("refuse" if is_address else "client"),
        *lengths,
        _compile_cache(
            identity, any(source.record.is_asked for source in sources), path, most_cached, report
        ),
    )


def _lengths(texts: Sequence[str], path: Path, report: Report) -> tuple[int, int]:
    """Return how many leading bits of an IPv4 and of an IPv6 address count."""
    for text in texts:
        found = _ADDRESS.fullmatch(text)
        if found is None or found[1] is None:
            continue
        v4, v6 = int(found[1]), int(found[2])
        if v4 <= 32 and v6 <= 128:
            return v4, v6
        report.add("identity-source", path, f"`{text[:32]}`: IPv4 has 32 bits, and IPv6 128", "Write fewer.")
    return _PLAIN_V4, _PLAIN_V6


def is_proven(identity: Identity) -> bool:
    """Return whether a client cannot have an identity in another's name, nor share it with strangers.

    The application proved it, or it is a secret that only its holder can write: a credential, or a header
    that by its name has a key or a token.
    """
    texts = identity.from_ if isinstance(identity.from_, list) else [identity.from_]
    return bool(texts) and all(map(_is_proven_source, texts))


def _is_proven_source(text: str) -> bool:
    written, _, form = text.partition(" as ")
    found = source_of(written)
    return found is not None and found[0].is_proven(found[0].argument_of(found[1]), form)


def parse_source(text: str, path: Path, report: Report) -> SourceSpec | None:
    """Return the source a text names, or None with a problem noted."""
    if _ADDRESS.fullmatch(text):
        return SourceSpec("client")
    if text.startswith("client/"):
        hint = "Write the bits of IPv4 and of IPv6 that count: `client/24/48`."
        report.add("identity-source", path, f"`{text[:80]}` is not a source", hint)
        return None
    written, has_form, form = text.partition(" as ")
    found = source_of(written)
    if found is None:
        hint = did_you_mean(written.partition(":")[0], written_kinds())
        report.add("identity-source", path, f"`{text[:80]}` is not a source", hint)
        return None
    source, argument = found
    if source.shape is not None and not source.shape.fullmatch(argument):
        report.add("identity-source", path, f"`{text[:80]}`: {source.rule}")
        return None
    name = source.argument_of(argument)
    if not has_form:
        return SourceSpec(source.kind, name)
    if not source.has_form:
        report.add("identity-form", path, f"`{written}` is the application's own value; it has no `as`")
        return None
    choices = [choice for choice in FORMS if source.credentials or choice != "credential"]
    if form not in choices:
        shown = ", ".join(f"`{choice}`" for choice in choices)
        report.add("identity-form", path, f"`{form[:32]}` is not one of {shown}", did_you_mean(form, choices))
        return None
    if source.own_form(name) == "credential" and form not in ("credential", "text"):
        report.add("identity-form", path, f"`{written}` is a credential and cannot be read as `{form}`")
        return None
    return SourceSpec(source.kind, name, form)


def number_source(text: str, path: Path, code: str, forged: str, report: Report) -> SourceSpec | None:
    """Return the source of a number that the application knows; None, with a problem noted, for another.

    Args:
        text: as written.
        path: where.
        code: of the problem if a client would write the number itself.
        forged: what would become of that client.
        report: told what is wrong.
    """
    source = parse_source(text, path, report)
    if source is None or source.record.has_numbers:
        return source
    report.add(
        code,
        path,
        f"what comes from `{source.kind}` is the client's own word, which {forged}",
        number_hint(),
    )
    return None


def _compile_cache(
    identity: Identity, resolved: bool, path: Path, most_cached: int, report: Report
) -> CacheSpec | None:
    place = (*path, "cache")
    if identity.cache is None:
        return None
    if not resolved:
        report.add("identity-setting-unused", place, "`cache` belongs to resolvers")
        return None
    written, _, time = identity.cache.partition(" for ")
    told_by = parse_source(written.strip(), place, report)
    if told_by is not None and told_by.record.is_asked:
        report.add("identity-cache", place, "a resolver cannot be the key of a cache")
    try:
        ttl_ns = parse_duration(time.strip() or _CACHED)
    except ValueError as error:
        report.add("identity-cache", place, str(error), "Write it like `header:authorization for 5m`.")
        return None
    if ttl_ns > _LONGEST_TTL_NS:
        report.add("identity-cache", place, "answers are kept for a day at most")
    if told_by is None or ttl_ns == 0:
        return None
    return CacheSpec(ttl_ns, most_cached, told_by)
