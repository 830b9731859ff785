"""Compressed answers, read all the same. Clients choose by `Accept-Encoding`, and choose no price."""

from __future__ import annotations

import zlib

from ratelimit.usage.reader import Reader

INFLATED = frozenset({b"gzip", b"x-gzip", b"deflate"})
_AT_ONCE = 1 << 16


class Inflating:
    """Reads a compressed answer, some 64 KiB of it at a time."""

    __slots__ = ("_stream", "unread")

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        self.unread = 0
        """Bytes that are not what the headers promised."""

    def feed(self, reader: Reader, chunk: bytes) -> None:
        """Give a reader what a piece of the answer says."""
        try:
            while chunk and not self.unread and not self._stream.eof:
                reader.feed(self._stream.decompress(chunk, _AT_ONCE))
                chunk = self._stream.unconsumed_tail or self._stream.unused_data
        except zlib.error:
            self.unread += len(chunk)
        else:
            self.unread += len(chunk)
