"""A mock of a language model: it says words at a pace, and knows what they took.

Its answer is as long as the last number in the prompt ("a story in 200 words"), or forty words. The
model `mock-broken` breaks off after eight, as real ones sometimes do.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

MODELS = ("mock-small", "mock-large", "mock-broken")
MOST_TOKENS = 4096
USUAL_TOKENS = 40
TOKENS_PER_S = float(os.environ.get("MOCK_TOKENS_PER_S", "100"))
"""How fast one answer is said."""
AT_ONCE = 4
"""Words in one event."""
# Words of two and of three letters, by turns: with the space 3.5 bytes a word, as tokens have.
_WORDS = (
    "we",
    "can",
    "go",
    "far",
    "in",
    "one",
    "or",
    "two",
    "if",
    "the",
    "to",
    "and",
    "of",
    "all",
    "is",
    "new",
)


class Broken(Exception):
    """The model failed in the middle of an answer."""


@dataclass(frozen=True)
class Answer:
    """What the model is going to say to a prompt.

    Args:
        model: one of `MODELS`.
        prompt: what is asked.
        most: the caller's own maximum of tokens; None for no other than the model's.
    """

    model: str
    prompt: str
    most: int | None = None

    @property
    def prompt_tokens(self) -> int:
        """What was read."""
        return len(self.prompt.split())

    @property
    def wanted(self) -> int:
        """How many words the prompt asks for."""
        numbers = re.findall(r"\b\d{1,6}\b", self.prompt)
        return max(1, int(numbers[-1])) if numbers else USUAL_TOKENS

    @property
    def tokens(self) -> int:
        """What is said: one token a word."""
        return min(self.wanted, MOST_TOKENS, self.most or MOST_TOKENS)

    @property
    def is_whole(self) -> bool:
        """Whether the maximum left room for all of it."""
        return self.tokens == self.wanted

    async def say(self) -> AsyncIterator[str]:
        """Yield the answer, a few words at a time.

        Raises:
            Broken: in the middle, by the model that does so.
        """
        for at in range(0, self.tokens, AT_ONCE):
            if self.model == "mock-broken" and at >= 2 * AT_ONCE:
                raise Broken("The model broke off.")
            last = min(at + AT_ONCE, self.tokens)
            await asyncio.sleep((last - at) / TOKENS_PER_S)
            yield "".join(f"{_WORDS[number % len(_WORDS)]} " for number in range(at, last))

    async def text(self) -> str:
        """Return the whole answer once it is said.

        Raises:
            Broken: as `say` does.
        """
        return "".join([words async for words in self.say()])
