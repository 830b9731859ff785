"""Problems of a policy, each with its place: collected, and never raised one by one."""

from __future__ import annotations

from collections.abc import Mapping

from ratelimit.codes import every_code
from ratelimit.environment.printable import printable
from ratelimit.errors import Problem

Path = tuple[str | int, ...]


LONGEST_LINE = 400
"""Characters of a message, a key or a hint that are shown."""

OF_THE_FILE = (
    *("version", "strict", "headers", "events", "tuning", "fair_by", "ramp"),
    *("proxies", "root_paths", "spellings"),
)
"""Keys above the first table. Below one they are read as its keys."""
_FREE = ("identities", "allow", "deny", "prices", "usage")
"""Tables of the file whose keys are names of the operator's own; `tiers` and `when` have such, too."""
_NO_SUCH_NAME = frozenset(
    {"policy-type", "policy-value", "identity-unknown", "rate-syntax", "tier-incomplete"}
)
"""Errors of a key that is read as a name, and is none."""

_HANGING = frozenset(
    {
        "adaptive-unproven",
        "correlation-families",
        "identity-setting-unused",
        "identity-unused",
        "limit-duplicate",
        "limit-never-binds",
        "limit-shadowed",
        "policy-empty",
        "queue-principal",
        "queue-unused",
        "trust-header-unused",
    }
)
"""Warnings that hang on other parts of the file: where one is in error, they may be its consequence."""


def render_key(path: Path) -> str:
    """Return a path as one writes it: `limit[0].tiers.pro`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = part if part.replace("_", "a").replace("-", "a").isalnum() else repr(part)
            text += f".{name}" if text else name
    return text


def misplaced(path: Path) -> str:
    """Return what to write for a key of the whole file that stands below a table, or nothing."""
    is_misplaced = len(path) > 1 and path[-1] in OF_THE_FILE
    return "It is a key of the whole file: write it above the first table." if is_misplaced else ""


def _misread(code: str, path: Path) -> str:
    """Return the same for one that was read as a name, in a table of free names."""
    # A plan's rate, or an entry of what should be a table, is a part of it.
    place = path[:-1] if path and (path[-1] == "rate" or isinstance(path[-1], int)) else path
    above = place[:-1]
    is_free = (len(above) == 1 and above[0] in _FREE) or above[2:3] in (("tiers",), ("when",))
    return misplaced(place) if code in _NO_SUCH_NAME and is_free else ""


def _line(text: str) -> str:
    """Return a text as a part of one line: what it quotes of the file may be long, and hold line ends."""
    shown = printable(text)
    return shown if len(shown) <= LONGEST_LINE else f"{shown[:LONGEST_LINE]}…"


class Report:
    """Collects the problems of one policy.

    Args:
        file: the name shown with each problem.
        lines: where each path stands in the text.
    """

    def __init__(self, file: str, lines: Mapping[Path, int] | None = None) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.lines: Mapping[Path, int] = lines or {}
        self._told: set[Problem] = set()
        self._unusable: set[Path] = set()

    def add(self, code: str, path: Path, message: str, hint: str | None = None) -> None:
        """Note a problem at a path; its severity is the code's.

        Nothing is noted about a value that was already found unusable: what
        stands in for it while checking goes on would only repeat the complaint.
        """
        if any(path[:length] in self._unusable for length in range(len(path) + 1)):
            return
        known = every_code()[code]
        problem = Problem(
            code,
            known.severity,
            _line(message),
            printable(self.file),
            self.line_of(path),
            _line(render_key(path)),
            _line(_misread(code, path) or hint or known.remedy),
        )
        if problem not in self._told:
            self._told.add(problem)
            self.problems.append(problem)

    def unusable(self, code: str, path: Path, message: str, hint: str | None = None) -> None:
        """Note a problem that makes the value at this path, and all below it, unusable."""
        self.add(code, path, message, hint)
        self._unusable.add(path)

    def line_of(self, path: Path) -> int | None:
        """Return the line of a path, or of the nearest table around it."""
        for length in range(len(path), -1, -1):
            line = self.lines.get(path[:length])
            if line is not None:
                return line
        return None

    @property
    def has_errors(self) -> bool:
        """True if anything but warnings was found."""
        return any(problem.severity == "error" for problem in self.problems)

    def sorted(self) -> tuple[Problem, ...]:
        """Return the problems in the order of the file; with errors, without what these may entail."""
        hidden = _HANGING if self.has_errors else frozenset()
        told = (problem for problem in self.problems if problem.code not in hidden)
        return tuple(sorted(told, key=lambda problem: problem.line or 0))
