"""The parts of a storage URL: where the memory is, and how large."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

from limits.errors import ConfigurationError

from ratelimit.core.memory.table import LARGEST_BLOCK_BYTES

_MEGABYTE = 1 << 20
_MOST_MEGABYTES = LARGEST_BLOCK_BYTES // _MEGABYTE
_LEAST_MEGABYTES = 2
"""A page of each size of block, and as much again."""
_DEFAULT_MEGABYTES = 16
_ENTRY_SHARE = 160
"""Bytes of blocks for which there is one entry: the smallest block has 128."""


@dataclass(frozen=True, slots=True)
class Location:
    """The place of a storage's memory.

    Args:
        name: what the processes meet under.
        path: the file behind the memory, where the URL names one; else it is derived from the name.
        megabytes: room for counters. A fixed window takes 128 bytes, a moving one 16 a unit of its limit.
    """

    name: str
    path: str | None = None
    megabytes: int = _DEFAULT_MEGABYTES

    @property
    def block_bytes(self) -> int:
        """Room for what is counted."""
        return self.megabytes * _MEGABYTE

    @property
    def keys(self) -> int:
        """The number of keys that there is room for."""
        return self.block_bytes // _ENTRY_SHARE

    @classmethod
    def parse(cls, url: str, options: Mapping[str, object] | None = None) -> Location:
        """Return what a URL and options beside it say.

        `kinlimit+shared://NAME` or `kinlimit+shared:///PATH`, with `?megabytes=N`.

        Raises:
            ConfigurationError: of `limits`; neither a name nor a path, or an option there is not.
        """
        parts = urlsplit(url)
        path, name = unquote(parts.path), unquote(parts.netloc)
        if name and path not in {"", "/"}:
            raise ConfigurationError(
                f"{url}: a name or a path, not both; for a path write three slashes: {parts.scheme}://{path}"
            )
        if not name and path in {"", "/"}:
            raise ConfigurationError(
                f"{url}: the URL has no name that the workers could meet under; write {parts.scheme}://my-api"
            )
        given = {**dict(parse_qsl(parts.query, keep_blank_values=True)), **(options or {})}
        megabytes = given.pop("megabytes", _DEFAULT_MEGABYTES)
        if given:
            raise ConfigurationError(f"{url}: no option {sorted(given)[0]!r}; there is one: megabytes")
        return cls(name or path, None if name else path, _whole(url, megabytes))


def _whole(url: str, given: object) -> int:
    try:
        megabytes = int(str(given))
    except ValueError:
        megabytes = 0
    if not _LEAST_MEGABYTES <= megabytes <= _MOST_MEGABYTES:
        raise ConfigurationError(
            f"{url}: megabytes is an integer from {_LEAST_MEGABYTES} to {_MOST_MEGABYTES}, not {given!r}"
        )
    return megabytes
