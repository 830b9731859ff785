"""The exceptions this library raises, by the person that can fix the cause.

    RateLimitError
    ├── PolicyError      the operator: the policy file says something impossible
    ├── UsageError       the developer: the library was called or mounted wrongly
    └── StoreError       the infrastructure: shared memory or a server is unwell

A refused request is a value (`Decision`), never an exception.
Every error has a stable `code`; `docs/errors.md` lists them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ratelimit.codes import Severity
from ratelimit.environment.printable import printable


class RateLimitError(Exception):
    """Base of everything this library raises on purpose. A message is fit for terminals and logs."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(printable(message, keep="\n"))
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions are pickled by a call with their positional arguments. Settings by name would be missing,
        # and a pool of processes breaks on an error that it cannot hand over.
        return _raised_elsewhere, (type(self), self.args, vars(self))

    @property
    def brief(self) -> str:
        """The message in one line: of several problems the first, and how many more there are."""
        first, *more = str(self).split("\n")
        return f"{first} (and {len(more)} more: `ratelimit check` shows all)" if more else first


_Error = TypeVar("_Error", bound=RateLimitError)


def _raised_elsewhere(kind: type[_Error], arguments: tuple[object, ...], state: dict[str, Any]) -> _Error:
    """Return an error that another process raised."""
    error = kind.__new__(kind, *arguments)
    vars(error).update(state)
    return error


@dataclass(frozen=True, slots=True)
class Problem:
    """One error or warning: what, where, and what to do next.

    `key` is the path of the value in the file, as `limit[0].rate`. `line` counts
    from 1 and is None for policies that were not read from text.
    """

    code: str
    severity: Severity
    message: str
    file: str
    line: int | None
    key: str
    hint: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        key = f"{self.key}: " if self.key else ""
        return f"{place}: {self.severity}: {key}{self.message} [{self.code}] {self.hint}".rstrip()


class PolicyError(RateLimitError):
    """A policy that cannot be used; `problems` holds every error and warning found."""

    def __init__(self, message: str, *, code: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message, code=code)
        self.problems = tuple(problems)


def unforeseen(error: BaseException) -> str:
    """Return one line on an error that was not foreseen, and where it happened."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    code = None if place is None else place.tb_frame.f_code
    where = "" if place is None or code is None else f" (in {code.co_name}, line {place.tb_lineno})"
    words = " ".join(str(error)[:200].split())
    return f"{type(error).__name__}: {words}{where}" if words else f"{type(error).__name__}{where}"


class UsageError(RateLimitError):
    """A call that cannot mean anything: the program must change."""


def fault_of(raised: Exception, policy: object) -> RateLimitError:
    """Return an exception that ends a start or a reload as an error of this library."""
    if isinstance(raised, RateLimitError):
        return raised
    return PolicyError(f"{policy}: error: {unforeseen(raised)} [policy-fault]", code="policy-fault")


class StoreError(RateLimitError):
    """State could not be reached or is not ours; `transient` says whether waiting may help."""

    def __init__(self, message: str, *, code: str, transient: bool = False) -> None:
        super().__init__(message, code=code)
        self.transient = transient
