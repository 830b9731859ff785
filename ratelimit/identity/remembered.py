"""Answers of a resolver, kept for a while: bounded in number and in time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

Answer = Mapping[int, int]
"""Hashes by position; empty for a caller that is not known."""


class Remembered:
    """A cache from keyed hashes to answers; the oldest answer goes first when it is full.

    Args:
        size: most answers kept; 0 keeps none.
        ttl_ns: how long an answer is used.
    """

    __slots__ = ("_answers", "_size", "_ttl_ns")

    def __init__(self, size: int, ttl_ns: int) -> None:
        self._size = size
        self._ttl_ns = ttl_ns
        self._answers: OrderedDict[int, tuple[int, Answer]] = OrderedDict()

    def get(self, key: int, now_ns: int) -> Answer | None:
        """Return the answer under `key`, None when there is none or it is too old.

        An answer from later than now, which a step back of the clock leaves behind, is too old.
        """
        found = self._answers.get(key)
        if found is None:
            return None
        put_ns, answer = found
        return answer if 0 <= now_ns - put_ns < self._ttl_ns else None

    def put(self, key: int, answer: Answer, now_ns: int) -> None:
        """Keep an answer."""
        self._answers.pop(key, None)
        if self._size <= 0:
            return
        while len(self._answers) >= self._size:
            self._answers.popitem(last=False)
        self._answers[key] = (now_ns, answer)

    def __len__(self) -> int:
        return len(self._answers)
