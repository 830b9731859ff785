"""The `[trust]` and `[routing]` tables as types: what stands before the application, and how it routes."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from ratelimit.core.request.scanner import MOST_PREFIXES
from ratelimit.features.table import Table

Case = Literal["both", "exact", "ignore"]
Spelling = Literal["parameters", "backslash", "extension", "decoding", "characters", "host"]
ForwardedHeader = Literal["x-forwarded-for", "forwarded"]


class Trust(Table, frozen=True, forbid_unknown_fields=True):
    """The proxies that may name the client. None may, unless it is listed here."""

    proxies: Annotated[
        list[str],
        Meta(
            description="Addresses and ranges of your own proxies; `unix` for a peer without an address. "
            "The header is read from the right, past these only.",
            examples=[["10.0.0.0/8", "unix"]],
        ),
    ] = []
    header: Annotated[
        ForwardedHeader, Meta(description="The one header your proxies write the client's address into.")
    ] = "x-forwarded-for"
    translation: Annotated[
        list[str],
        Meta(
            max_length=MOST_PREFIXES,
            description="Prefixes of your own NAT64 or SIIT translators. A client behind one counts as its "
            "IPv4 address.",
            examples=[["2001:db8:64::/96"]],
        ),
    ] = []


class Routing(Table, frozen=True, forbid_unknown_fields=True):
    """The application's way to find the route of a path, where a request does not say."""

    case: Annotated[
        Case,
        Meta(
            description="Case of paths: is `/V1/Chat` the same as `/v1/chat` to the "
            "application? `exact`: no; `ignore`: yes; "
            "`both`: the limits of both readings apply."
        ),
    ] = "both"
    root_paths: Annotated[
        list[str],
        Meta(
            max_length=8,
            description="Prefixes that the application or a proxy cuts from paths, as Django's "
            "`FORCE_SCRIPT_NAME`. Templates match with them and without.",
            examples=[["/api"]],
        ),
    ] = []
    spellings: Annotated[
        list[Spelling] | None,
        Meta(
            description="Further spellings of a path that the application serves. Without this key the "
            "middleware assumes no other, and `ratelimit serve` and traces assume all."
        ),
    ] = None
