"""One match pattern: methods, and a path template.

    pattern  = [ methods 1*SP ] template
    methods  = "*" | METHOD *( "|" METHOD )
    template = "/" [ segment *( "/" segment ) ] [ "/" ]
    segment  = literal | "{" name "}" | "*" | "**"

`{name}` and a `*` that others follow stand for exactly one segment. A last `*`
or `**` stands for everything from there on, also for nothing: `/v1/*` covers
`/v1`, `/v1/` and all below. `GET` covers `HEAD`. Literals are compared with the
path *after* percent-decoding, character by character, case included.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_SEGMENTS = 32
LONGEST_TEXT = 512

STANDARD_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")

_EXTENSIONS = (
    "ACL BASELINE-CONTROL BIND CHECKIN CHECKOUT COPY LABEL LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL "
    "MKREDIRECTREF MKWORKSPACE MOVE ORDERPATCH PROPFIND PROPPATCH PURGE QUERY REBIND REPORT SEARCH UNBIND "
    "UNCHECKOUT UNLINK UNLOCK UPDATE UPDATEREDIRECTREF VERSION-CONTROL"
)
OTHER_METHODS = tuple(_EXTENSIONS.split())
"""Registered for extensions of HTTP, as WebDAV; and `PURGE`, which caches know."""

_METHOD = re.compile(r"[A-Z][A-Z0-9_-]{0,31}")
_PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_TYPED = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*):([A-Za-z_]*)\}")


class PatternError(ValueError):
    """A text that is not a pattern, with a hint at the right one."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Pattern:
    """A parsed pattern; `segments` has None where any segment will do."""

    template: str
    methods: frozenset[str] | None
    """None: any method."""
    segments: tuple[str | None, ...]
    rest: bool
    """True if anything may follow the segments."""
    parameters: tuple[tuple[str, int], ...]
    """Names and the positions of their segments."""

    def __str__(self) -> str:
        """Return it as a policy file has it."""
        methods = self.methods or frozenset()
        said = "|".join(sorted(methods - {"HEAD"} if "GET" in methods else methods))
        return f"{said} {self.template}".strip()

    def meets(self, other: Pattern) -> bool:
        """Return whether there is a request that both match."""
        if self.methods is not None and other.methods is not None and self.methods.isdisjoint(other.methods):
            return False
        if any(
            mine is not None and theirs is not None and mine != theirs
            for mine, theirs in zip(self.segments, other.segments, strict=False)
        ):
            return False
        lengths = len(self.segments), len(other.segments)
        if lengths[0] == lengths[1]:
            return True
        return self.rest if lengths[0] < lengths[1] else other.rest

    @property
    def precision(self) -> tuple[int, int, bool]:
        """Grows with how closely a pattern describes a path; for choosing the template to show."""
        return (sum(part is not None for part in self.segments), len(self.segments), not self.rest)


def parse_pattern(text: str) -> Pattern:
    """Return the pattern that a text spells.

    Raises:
        PatternError: it spells none.
    """
    if len(text) > LONGEST_TEXT:
        raise PatternError(f"a pattern is at most {LONGEST_TEXT} characters long")
    words = text.split()
    if len(words) == 1:
        methods, template = None, words[0]
    elif len(words) == 2:
        methods, template = _parse_methods(words[0]), words[1]
    else:
        several = [part.strip() for part in text.split(",")]
        listed = ", ".join(f'"{part}"' for part in several)
        hint = (
            f"Write a list: `[{listed}]`."
            if len(several) > 1 and all(several)
            else "Write it like `POST /v1/*`."
        )
        raise PatternError(f"`{text}` is not a method and a path", hint)
    if not template.startswith("/"):
        is_method = template.upper().split("|")[0] in STANDARD_METHODS
        hint = f"Write `{template} /*` for any path." if is_method else f"Write `/{template}`."
        raise PatternError(f"the path `{template}` does not start with `/`", hint)
    for wrong, hint in (("?", "Query strings take no part."), ("#", "Fragments are never sent.")):
        if wrong in template:
            raise PatternError(f"a path has no `{wrong}`", hint)
    if re.search("%[0-9A-Fa-f]{2}", template):
        raise PatternError("paths are compared after percent-decoding", "Write the character itself.")
    parts = template.removesuffix("/")[1:].split("/") if template != "/" else []
    rest = bool(parts) and parts[-1] in ("*", "**")
    body = parts[:-1] if rest else parts
    if len(body) > MAX_SEGMENTS:
        raise PatternError(f"a path template has at most {MAX_SEGMENTS} segments", "End it with `*`.")
    segments: list[str | None] = []
    names: dict[str, int] = {}
    for position, part in enumerate(body):
        segments.append(_parse_segment(part, position, names))
    shown = "/" + "/".join(parts)
    return Pattern(shown, methods, tuple(segments), rest, tuple(names.items()))


def _parse_methods(word: str) -> frozenset[str] | None:
    if word == "*":
        return None
    methods = word.upper().split("|")
    for method in methods:
        if not _METHOD.fullmatch(method):
            raise PatternError(
                f"`{method}` is not a method", "Write methods like `GET|POST`, or `*` for any."
            )
    return frozenset(methods) | ({"HEAD"} if "GET" in methods else frozenset())


def _parse_segment(part: str, position: int, names: dict[str, int]) -> str | None:
    if part == "*":
        return None
    found = _PARAMETER.fullmatch(part)
    if found:
        if found[1] in names:
            raise PatternError(f"the parameter `{found[1]}` is there twice")
        names[found[1]] = position
        return None
    typed = _TYPED.fullmatch(part)
    if typed:
        instead = "*` (last)" if typed[2] == "path" else f"{{{typed[1]}}}`"
        raise PatternError(f"`{part}`: converters are the framework's", f"Write `{instead}.")
    if not part:
        raise PatternError("a path template has an empty segment", "Write single slashes.")
    if part in (".", ".."):
        raise PatternError(f"`{part}` is not a segment", "Write the path it leads to.")
    if part == "**":
        raise PatternError("`**` can only come last", "Use `*` for one segment.")
    if any(mark in part for mark in "*{}"):
        raise PatternError(
            f"`{part}`: a wildcard or parameter is a whole segment", "Write `{name}` or `*` alone."
        )
    return part
