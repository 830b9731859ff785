"""What turns of a conversation contain: text, or a list of pieces some of which are text."""

from __future__ import annotations

from pydantic import BaseModel


class Block(BaseModel):
    """A piece of a turn; of those without text nothing is read."""

    text: str = ""


class Message(BaseModel):
    """One turn of a conversation."""

    role: str = "user"
    content: str | list[Block] = ""


def text_of(messages: list[Message]) -> str:
    """Return all that is said in a conversation."""
    said = []
    for message in messages:
        content = message.content
        said.append(content if isinstance(content, str) else " ".join(block.text for block in content))
    return " ".join(said)
