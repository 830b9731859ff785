"""One request as an engine sees it."""

from __future__ import annotations

from collections.abc import Callable


class Job:
    """What a request asks for, and what became of it.

    Attributes:
        prompt_tokens: length of the input; of no account to a processor or a pool.
        answer_tokens: length of the answer, likewise.
        work_ns: what it takes of a processor or of a connection.
        label: its class.
        first_byte_ns: when the answer began, -1 before.
        done_ns: when the answer was complete, -1 before.
        gone: whether the client hung up.
        host: the number of the gateway that it came to, -1 where that is of no account.
        sent: whether the engine has it.
        is_poison: whether it is there to mislead.
        is_long: whether its prompt is long, where that is counted.
        patience_ns: after which its client hangs up, 0 never.
        reading: how many times longer its client reads than it is written.
    """

    __slots__ = (
        "account",
        "answer_tokens",
        "arrived_ns",
        "done_ns",
        "first_byte_ns",
        "gone",
        "host",
        "is_long",
        "is_poison",
        "label",
        "patience_ns",
        "phase",
        "prompt_tokens",
        "reading",
        "sent",
        "ticket",
        "told_done",
        "told_failed",
        "told_first",
        "work_ns",
    )

    def __init__(
        self, arrived_ns: int, prompt_tokens: int, answer_tokens: int, work_ns: int, label: str = "all"
    ) -> None:
        self.arrived_ns = arrived_ns
        self.prompt_tokens = prompt_tokens
        self.answer_tokens = answer_tokens
        self.work_ns = work_ns
        self.label = label
        self.account = 0
        self.phase = 0
        self.reading = 1
        self.ticket = 0
        self.patience_ns = 0
        self.first_byte_ns = -1
        self.done_ns = -1
        self.gone = False
        self.host = -1
        self.sent = False
        self.is_poison = False
        self.is_long = False
        self.told_first: Callable[[Job], None] = _nothing
        self.told_done: Callable[[Job], None] = _nothing
        self.told_failed: Callable[[Job], None] = _nothing


def _nothing(job: Job) -> None:
    """Tell nothing."""
