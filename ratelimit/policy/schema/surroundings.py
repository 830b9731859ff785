"""The `[trust]` and `[routing]` tables as types: what stands before the application, and how it routes."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from ratelimit.core.request.scanner import MOST_PREFIXES
from ratelimit.features.table import Table

Case = Literal["both", "exact", "ignore"]
Spelling = Literal["parameters", "backslash", "extension", "decoding", "characters", "host"]
TRANSLATOR = "nat64:"
FORWARDED: Literal["forwarded"] = "forwarded"
ForwardedHeader = Literal["x-forwarded-for", "forwarded"]


class Trust(Table, frozen=True, forbid_unknown_fields=True):
    """The proxies that may name the client. None may, unless it is listed here."""

    proxies: Annotated[
        list[str],
        Meta(
            description="Addresses and ranges of your own proxies; `unix` for a peer without an address. "
            "`X-Forwarded-For` is read from the right, past these only; with the word `forwarded`, "
            "`Forwarded` in its place. `nat64:PREFIX`: one of up to "
            f"{MOST_PREFIXES} prefixes of your own NAT64 or SIIT translators. A client behind it counts as "
            "its IPv4 address.",
            examples=[["10.0.0.0/8", "unix", "nat64:2001:db8:64::/96"]],
        ),
    ] = []

    @property
    def ranges(self) -> list[str]:
        """The entries that name proxies."""
        return [text for text in self.proxies if text != FORWARDED and not text.startswith(TRANSLATOR)]

    @property
    def header(self) -> ForwardedHeader:
        """The one header that proxies write the client's address into."""
        return FORWARDED if FORWARDED in self.proxies else "x-forwarded-for"

    @property
    def translation(self) -> dict[int, str]:
        """Prefixes of translators, by their place among the entries."""
        return {
            at: text.removeprefix(TRANSLATOR)
            for at, text in enumerate(self.proxies)
            if text.startswith(TRANSLATOR)
        }


class Routing(Table, frozen=True, forbid_unknown_fields=True, rename={"kinds": "spellings"}):
    """The application's way to find the route of a path, where a request does not say."""

    root_paths: Annotated[
        list[str],
        Meta(
            max_length=8,
            description="Prefixes that the application or a proxy cuts from paths, as Django's "
            "`FORCE_SCRIPT_NAME`. Templates match with them and without.",
            examples=[["/api"]],
        ),
    ] = []
    kinds: Annotated[
        list[Literal["case"] | Spelling] | None,
        Meta(
            description="Further spellings of a path that the application serves, such as `case`: "
            "`/V1/Chat` is `/v1/chat` to it. `[]`: none. Without this key the limits of both readings of "
            "the case apply; else the middleware assumes no other spelling, and `ratelimit serve` and "
            "traces assume all.",
            examples=[["case", "extension"]],
        ),
    ] = None

    @property
    def case(self) -> Case:
        """Whether case matters in paths."""
        return "both" if self.kinds is None else "ignore" if "case" in self.kinds else "exact"

    @property
    def spellings(self) -> list[Spelling] | None:
        """The other spellings; None where the policy does not say."""
        return None if self.kinds is None else [kind for kind in self.kinds if kind != "case"]
