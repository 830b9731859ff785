"""Failures of an inspection, as data that a command or a page words itself."""

from __future__ import annotations

from typing import Literal

Cause = Literal["call", "input", "deployment"]
"""What is at fault: how it was asked for, what it was given to read, or what runs."""


class InspectionFailure(Exception):
    """The subject of inspection is not there, or cannot be read.

    Args:
        message: what is wrong, and where.
        cause: what is at fault.
        hint: what to do about it.
    """

    def __init__(self, message: str, cause: Cause, *, hint: str = "") -> None:
        super().__init__(message)
        self.cause = cause
        self.hint = hint
