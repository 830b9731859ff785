"""A request's identities in one pass over its raw headers, from values to hashes."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import final

from ratelimit.core.memory.hashing import Hasher
from ratelimit.core.request.networks import Networks

ABSENT: int
"""What stands for an identity a request does not have (-1)."""
REFUSED: int
"""What stands for an identity a request does not have although the policy insists on it (-2)."""
MALFORMED_IDENTITY: int
"""What stands for a malformed value until it is known what stands in for it (-3)."""
FORWARDED: int
"""In place of a position: the header is one that proxies send (-1)."""
FORM_TEXT: int
"""The header's value is text: see `grammar.text`."""
FORM_CREDENTIAL: int
"""The header's value is a credential: see `grammar.credential`."""
FORM_RAW: int
"""The header's first line counts, whatever it is."""

LENGTHS: tuple[int, ...]
"""The lengths of a translation prefix (RFC 6052, 2.2), in bits."""
MOST_PREFIXES: int
"""The number that can be declared (16)."""

def longest_first(prefix: tuple[bytes, int]) -> int:
    """Order translation prefixes."""

def names_peer(headers: Sequence[tuple[bytes, bytes]], peer: str | None, /) -> bool:
    """Return whether `X-Forwarded-For` or `Forwarded` names the peer itself.

    The server has read the header then, and put the client in its proxy's place: uvicorn does by itself.
    """

@final
class Translations:
    """Reads addresses, and knows which IPv6 addresses are those of an IPv4 client.

    Known without a declaration: NAT64 (64:ff9b::/96, and 64:ff9b:1::/48 for local use), IPv4-mapped,
    -translated and -compatible addresses, 6to4 and Teredo. What is declared comes first.

    Args:
        prefixes: octets and length of each further translation prefix.

    Raises:
        ValueError: too many, or of another length than `LENGTHS`.
    """

    def __init__(self, prefixes: Iterable[tuple[bytes, int]] = ()) -> None: ...
    def read_address(self, text: str, /) -> tuple[int, int, int | None] | None:
        """Return the address that a text of at most 100 characters spells, None for none.

        Width (32 or 128) and bits of the client's. If that was carried in another, also the bits of the
        IPv6 address as it was written. An IPv4-mapped address is written as IPv4.

        Accepts a port, brackets, a zone, surrounding blanks and double quotes (as in
        `Forwarded`). Leading zeros in IPv4, which some parsers take for octal, are refused.
        """

@final
class Scanner:
    """Hashes what a request says into the places of an identity list.

    The list has a place for each identity, and two more of the caller's, which are 0 unless
    a header fills them.

    Args:
        hasher: its key is used.
        wanted: for each header name, triples of a position (or FORWARDED), an identity kind, and
            the form of the value.
        longest: longer values are malformed; empty ones count as missing.
        blanks: for each identity what stands there when no header speaks for it. It has the kind that a
            known client's network is hashed with, or None, and the prefix lengths of that network in
            IPv4 and IPv6. Last is a hash, ABSENT or REFUSED for when that is not possible.
        needs_peer: whether a request without a peer deserves a notice.
        diagnose: told "client-missing" and "undeclared-proxy", as often as it happens.
        malformed: for some identities what a malformed value counts as where nothing stands in for a
            missing one: the kind that a known client's network is hashed with. Without one, and
            without a known client, it is REFUSED: a limit must not be dodged by a misspelling.
        guarded: places where a malformed value is to be told apart from a missing one.
        translations: reads the peer's address; one without declared prefixes when not given.
        listed: numbers addresses by the access list that names them, 1 for deny and 2 for allow. It goes
            into the last place.
        origins: numbers declared networks.
        origin_at: the position where that number goes; -1 for nowhere.

    Raises:
        UsageError: more than 62 identities (code `plan-identities`).
    """

    def __init__(
        self,
        hasher: Hasher,
        wanted: Mapping[bytes, Sequence[tuple[int, int, int]]],
        longest: int,
        blanks: Sequence[tuple[int | None, int, int, int]],
        *,
        needs_peer: bool,
        diagnose: Callable[[str], None],
        malformed: Collection[tuple[int, int]] = (),
        guarded: Collection[int] = (),
        translations: Translations | None = None,
        listed: Networks | None = None,
        origins: Networks | None = None,
        origin_at: int = -1,
    ) -> None: ...
    @property
    def size(self) -> int: ...
    def fill(self, headers: Sequence[tuple[bytes, bytes]], template: list[int], /) -> list[int]:
        """Return a copy of `template` with a hash at each position that a header speaks for.

        An empty header says nothing. A value without its form, a longer one, and a second header
        of the same name are malformed: MALFORMED_IDENTITY stands there.
        """
    def fill_for(self, headers: Sequence[tuple[bytes, bytes]], peer: str | None, /) -> list[int]:
        """Return `fill` with the template of a peer, as the server names it.

        A malformed value counts as a missing one; where nothing stands in for that, as `malformed` has
        it. At a guarded place it is MALFORMED_IDENTITY.
        """
    def template(self, width: int, client: bytes | None, carrier: bytes | None = None, /) -> list[int]:
        """Return what stands at each position for a client with headers that say nothing.

        Args:
            width: 32 or 128 for an address, 0 for another name or none.
            client: the address's octets, the bytes to hash in place of a network, or None.
            carrier: the octets of the IPv6 address that it was carried in.
        """
