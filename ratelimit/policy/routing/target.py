"""The target of a request, and every way in which an application may read it.

Theory of operation. A server, mounts and a router each take something off a request's
target, and do not agree on what. So a path has *readings*: lists of segments, each of
which some application routes by. Most paths have one. A limit applies if it matches any
of them, so what is read too much limits an odd request too soon, and nothing else.

Readings are what comes of these steps, each of which may be left out:

1. *Text.* `path`; and what `raw_path` decodes to, where a framework cut `path` already
   (Litestar) or where the router reads `raw_path` itself (BlackSheep).
2. *Form.* A text without a slash in front is also read as a URL (Quart does).
3. *Root.* What stands before and in the first occurrence of a root path is cut. At the
   front all do that, anywhere Litestar does, Falcon never does. And a path that lacks the
   root path has it in the client's eyes: a proxy cut it.
4. *Mounts.* What a mount makes of a path that has no slash after the mount's own, or
   that does not begin with the root path: see `_mounted`.
5. *Segments.* Slashes count once, or (Falcon) an empty segment is one, too. An encoded
   slash parts segments, or (BlackSheep) does not.
6. *Ends.* A line feed at the end is absent as well: the `$` of patterns lets it pass.
7. *Dots.* `.` and `..` are segments, and are carried out, which is how files are found.
8. *Spellings.* A back end that nothing is known of may know more of them: see `spellings`.

The steps are few and none is repeated without end, yet a long and crafted path could
make them dear. So slashes and escapes are counted before anything is listed. Past those
bounds, MOST_READINGS, or MOST_SEGMENTS in all, there is no list, and every limit applies that could.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple
from urllib.parse import urlparse

from ratelimit.policy.routing.escapes import decoded, has_slash
from ratelimit.policy.routing.spellings import EVERY, texts_of
from ratelimit.policy.schema.surroundings import Spelling

_SLASHES = re.compile("/{2,}")

MOST_READINGS = 64
MOST_SLASHES = 256
"""Of a path with several readings, as it was sent and decoded together: patterns have 32 segments."""
MOST_UNUSUAL = 4096
"""Characters of a path that is sent with some beyond ASCII, which browsers escape."""
MOST_SEGMENTS = 1024
"""Segments of all readings together."""
LONGEST = 2**15
"""Characters of a path with several readings, as it was sent and decoded together: proxies take 8,192."""
MOST_TEXT = 2**17
"""Characters of all texts that are split into segments."""


class Placement:
    """The facts about the application beside the scope. Compared by identity.

    Args:
        roots: root paths that the application sets or assumes by itself.
        mounts: prefixes under which it has other applications.
        loose: those of them that need not end with a slash (Litestar, BlackSheep).
        resets: whether an application below a mount sets a root path, which was the mount's (FastAPI).
        keeps_empty: whether an empty segment at the end is one (Falcon).
        leaves_rest: whether a path may be what a mount has left of it (the limiter is inside of Litestar).
        is_unknown: whether another program reads the path, of which nothing is known.
    """

    __slots__ = ("is_unknown", "keeps_empty", "leaves_rest", "loose", "mounts", "resets", "roots")

    def __init__(
        self,
        roots: Iterable[str] = (),
        mounts: Iterable[str] = (),
        loose: Iterable[str] = (),
        *,
        resets: bool = False,
        keeps_empty: bool = False,
        leaves_rest: bool = False,
        is_unknown: bool = False,
    ) -> None:
        self.roots = tuple(dict.fromkeys(root for root in roots if root.strip("/")))
        self.mounts = tuple(dict.fromkeys(mounts))
        self.loose = tuple(dict.fromkeys(loose))
        self.resets = resets
        self.keeps_empty = keeps_empty
        self.leaves_rest = leaves_rest
        self.is_unknown = is_unknown

    @property
    def is_plain(self) -> bool:
        """True if it makes no path read otherwise."""
        return not (self.roots or self.mounts or self.loose or self.keeps_empty or self.is_unknown)


NOWHERE = Placement()
"""Nothing is known of the application, but that it reads the path as it stands."""
UNKNOWN_BACK_END = Placement(is_unknown=True)
"""The application is behind a proxy, or the path is one of a trace."""


class Target(NamedTuple):
    """A request's target where the path alone does not say what is routed."""

    path: str
    raw: str | None = None
    """The path before it was decoded; None if it is not known."""
    root: str = ""
    placement: Placement = NOWHERE

    @property
    def length(self) -> int:
        """The number of characters that it is remembered by."""
        return len(self.path) + len(self.raw or "") + len(self.root)

    @property
    def is_too_long(self) -> bool:
        """True if its readings would take too long to list."""
        raw = self.raw or ""
        if self.length > LONGEST or self.path.count("/") + raw.count("/") > MOST_SLASHES:
            return True
        return len(raw) > MOST_UNUSUAL and not raw.isascii()


def is_odd(path: str) -> bool:
    """Return whether a path alone can be read in more than one way."""
    return "/." in path or "//" in path or path[:1] != "/" or path[-1:] == "\n"


def split(path: str, most: int) -> list[str]:
    """Return a path's first segments, empty ones left out; what follows `most` of them in one piece.

    The cost is that of a search for `most` slashes, however long the path is.
    """
    path = path.strip("/")
    parts = path.split("/", most)
    if "" not in parts:
        return parts
    # A path without a name in it, or one with several slashes in a row.
    parts = []
    while path and len(parts) < most:
        name, _, path = path.partition("/")
        parts.append(name)
        path = path.lstrip("/")
    return [*parts, path] if path else parts


def readings(
    target: str | Target, roots: Sequence[str] = (), spellings: Collection[Spelling] | None = None
) -> list[list[str]] | None:
    """Return the segments of a path, once for each way an application may read it.

    The first is the path as it stands. None: they are too many.

    Args:
        target: the path, and what else is known of it.
        roots: root paths that the policy declares.
        spellings: what the policy says that the application reads. None: an unknown back end reads all
            of them, and any other application none.
    """
    if isinstance(target, str):
        target = Target(target, target)
    if target.is_too_long:
        return None
    root, placement = target.root, target.placement
    roots = [each for each in dict.fromkeys((root, *placement.roots, *roots)) if each.strip("/")]
    known: dict[str, None] = {}
    budget = MOST_TEXT
    for text in _texts(target, roots):
        known[text] = None
        budget -= len(text)
        if budget < 0:
            return None
    if spellings is None:
        spellings = EVERY if placement.is_unknown else ()
    texts: list[str] | None = list(known)
    if spellings:
        texts = texts_of(target.raw, known, spellings)
    if texts is None:
        return None
    found: dict[tuple[str, ...], None] = {}
    budget = MOST_SEGMENTS
    for text in texts:
        for segments in _segmented(text, keeps_empty=placement.keeps_empty):
            for ended in _ended(segments):
                budget -= len(ended)
                if budget < 0:
                    return None
                found[tuple(ended)] = None
                if "." in ended or ".." in ended:
                    found[tuple(resolve(ended))] = None
    for segments in _encoded(target, roots):
        budget -= len(segments)
        if budget < 0:
            return None
        found[tuple(segments)] = None
        found[tuple(resolve(segments))] = None
    return None if len(found) > MOST_READINGS else [list(segments) for segments in found]


def resolve(segments: Sequence[str]) -> list[str]:
    """Return segments with `.` and `..` carried out."""
    kept: list[str] = []
    for segment in segments:
        if segment == "..":
            if kept:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    return kept


def _texts(target: Target, roots: Sequence[str]) -> Iterator[str]:
    bases = [target.path]
    if target.raw is not None:
        bases.append(decoded(target.raw))
    else:
        # What was sent is not known. It may be this, with a query, a fragment or escapes in it.
        bases.append(decoded(target.path.partition("?")[0].partition("#")[0]))
    if target.raw is None and target.placement.leaves_rest:
        bases += [f"{mount}/{target.path.lstrip('/')}" for mount in target.placement.mounts]
    bases += [form for base in bases for form in _path_of_url(base)]
    for base in dict.fromkeys(bases):
        yield base
        cuts = [base, *_cut(base, roots)]
        yield from cuts[1:]
        yield from (f"{root.rstrip('/')}/{base.lstrip('/')}" for root in roots if not _is_under(base, root))
        is_encoded = target.raw is not None and "%" in target.raw
        yield from _mounted(base, cuts, roots, target.placement, is_encoded=is_encoded)


def _path_of_url(text: str) -> Iterator[str]:
    if text[:1] not in ("/", ""):
        try:
            yield urlparse(text).path
        except ValueError:
            return  # the framework that parses it fails as well


def _cut(text: str, roots: Sequence[str]) -> Iterator[str]:
    for root in roots:
        for prefix in dict.fromkeys((root, root.rstrip("/"))):
            _, found, rest = text.partition(prefix)
            if found:
                yield rest


def _mounted(
    base: str, cuts: Sequence[str], roots: Sequence[str], placement: Placement, *, is_encoded: bool
) -> Iterator[str]:
    """Yield what mounts make of a path, put behind the mount's own prefix.

    - Starlette's mounts leave the path whole and add to the root path. Where the path does not
      begin with that, or ends in a line feed, or an application below sets a root path of its
      own, the whole path is the route, prefix included.
    - Litestar's and BlackSheep's mounts want no slash after their prefix. Litestar passes on
      what is left, of which a root path may be cut once more. BlackSheep does not cut a root
      path first and yet adds to it. It counts what to add from the end: one character short
      where a slash is missing or encoded.
    """
    if placement.resets or base.endswith("\n") or not all(_is_under(base, root) for root in roots):
        for mount in placement.mounts:
            for prefix in _prefixes(mount, cuts):
                yield from (f"{prefix}/{text.lstrip('/')}" for text in cuts)
    if not placement.loose:
        return
    # Litestar puts a slash in front, and merges several, before it looks for a mount.
    merged = (_SLASHES.sub("/", f"/{text}") for text in cuts)
    texts = dict.fromkeys((*cuts, *merged))
    for prefix in placement.loose:
        for text in texts:
            rest = text[len(prefix) :]
            if not rest or text[: len(prefix)].lower() != prefix.lower():
                continue
            if roots or is_encoded or not rest.startswith("/"):
                yield f"{prefix}/{rest}"
                yield f"{prefix}/{prefix[-1:]}{rest}"
                yield f"{prefix}/{text.lstrip('/')}"
            for again in _cut(rest, roots):
                yield f"{prefix}/{again}"


def _prefixes(mount: str, texts: Iterable[str]) -> Iterator[str]:
    """Yield the prefixes that a mount may have in these paths: more than one if it has parameters."""
    wanted = mount.strip("/").split("/")
    for first in dict.fromkeys(text.lstrip("/").partition("/")[0] for text in texts):
        if wanted[0] == first or "{" in wanted[0]:
            yield "".join(f"/{first if '{' in name else name}" for name in wanted)


def _is_under(path: str, root: str) -> bool:
    return path.startswith(root) and path[len(root) : len(root) + 1] in ("", "/")


def _segmented(text: str, *, keeps_empty: bool) -> Iterator[list[str]]:
    yield [part for part in text.split("/") if part]
    inner = text.strip("/")
    has_empty = "//" in inner
    if has_empty:
        yield inner.split("/")
    if inner and text[-1:] == "/" and (has_empty or keeps_empty):
        yield text.lstrip("/").split("/")


def _ended(segments: list[str]) -> Iterator[list[str]]:
    yield segments
    if segments and segments[-1][-1:] == "\n":
        last = segments[-1][:-1]
        yield [*segments[:-1], last] if last else segments[:-1]


def _encoded(target: Target, roots: Sequence[str]) -> Iterator[list[str]]:
    """Yield the segments of a path that was split before it was decoded, where that is another.

    BlackSheep reads the path like this. Below a mount of Starlette's it reads all of it, if
    the mount is spelled otherwise than the root path.
    """
    raw = target.raw
    if raw is None or raw == target.path:
        return
    texts = list(dict.fromkeys((raw, *_cut(raw, roots))))
    if has_slash(raw):
        yield from map(_decoded, texts)
    if not target.placement.mounts:
        return
    unescaped = list(map(decoded, texts))
    set_roots = target.placement.roots or (target.root,)
    for mount in target.placement.mounts:
        for prefix in _prefixes(mount, unescaped):
            if not any(raw.startswith(root + prefix) for root in set_roots):
                yield from ([*_decoded(prefix), *_decoded(text)] for text in texts)


def _decoded(text: str) -> list[str]:
    return [decoded(part) for part in text.split("/") if part]
