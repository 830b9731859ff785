"""A call of a script as bytes.

Written in one pass: encoding numbers and framing words one by one costs more than deciding.
"""

from collections.abc import Iterable
from typing import Any

from typing_extensions import Buffer

def script_call(
    head: bytes, keys: Iterable[bytes], opening: tuple[int, ...], described: bytes, items: list[Any], /
) -> bytes:
    """Return a call of a script with its keys and one argument: numbers, as MessagePack has them.

    Args:
        head: what follows the number of words: the command and the script, framed.
        opening, described, items: the argument, one after another; `described` is encoded already. Items are
            integers, or lists of up to 15.

    Raises:
        TypeError: a number is no integer, nor False.
        OverflowError: a number is below -2**63, or above 2**64 - 1.
    """

def numbers_in(text: bytes, /) -> list[int]:
    """Return the numbers of a MessagePack list.

    Raises:
        ValueError: it is anything else than one list of integers.
    """

def whole_string(buffer: Buffer, count: int, /) -> bytes | None:
    """Return the string of a reply, if the first `count` bytes are one such reply and no more; else None."""
