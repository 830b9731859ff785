"""What stands before the application, and how it finds routes: `proxies`, `root_paths` and `spellings`."""

from __future__ import annotations

from typing import Literal, cast, get_args

from msgspec import Struct

Case = Literal["both", "exact", "ignore"]
Spelling = Literal["parameters", "backslash", "extension", "decoding", "characters", "host"]
CaseWord = Literal["case", "exact-case"]
TRANSLATOR = "nat64:"
FORWARDED: Literal["forwarded"] = "forwarded"
ForwardedHeader = Literal["x-forwarded-for", "forwarded"]


class Trust(Struct, frozen=True):
    """The proxies that may name the client. None may, unless it is listed here."""

    proxies: list[str]

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


class Routing(Struct, frozen=True):
    """The application's way to find the route of a path, where a request does not say."""

    root_paths: list[str]
    kinds: list[Spelling | CaseWord] | None

    @property
    def case(self) -> Case:
        """Whether case matters in paths; `both` where the policy does not say."""
        kinds = self.kinds or []
        return "ignore" if "case" in kinds else "exact" if "exact-case" in kinds else "both"

    @property
    def spellings(self) -> list[Spelling] | None:
        """The other spellings; None where the policy does not say."""
        words = get_args(CaseWord)
        if self.kinds is None or (self.kinds and all(kind in words for kind in self.kinds)):
            return None
        return [cast(Spelling, kind) for kind in self.kinds if kind not in words]
