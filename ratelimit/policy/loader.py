"""`Policy`: a policy file read, checked whole and compiled.

The one place in this package that opens a policy file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from ratelimit.environment.file import read_file
from ratelimit.errors import PolicyError, Problem, unforeseen
from ratelimit.policy.compile.checks import check
from ratelimit.policy.compile.compiled import CompiledPolicy
from ratelimit.policy.compile.compiler import compile_policy
from ratelimit.policy.digest import digest
from ratelimit.policy.schema import source
from ratelimit.policy.schema.binder import bind
from ratelimit.policy.schema.model import PolicyFile
from ratelimit.policy.schema.problem import Report
from ratelimit.policy.schema.tuning import Tuning

_TUNING = re.compile(r"""(?:(?![ \t]*\[)[^\n]*\n)*?[ \t]*tuning[ \t]*=[ \t]*["']([^"'\n]{1,4096})["']""")
"""The name of the file of tuning, above the first table."""
_LISTED = 20
"""Problems an error's message shows; all of them are in `problems`."""


class Policy:
    """A policy that can be used; made by one of the class methods, and never changed.

    Attributes:
        name: where it came from, for messages.
        path: the file it was loaded from, None if it was not.
        file: the file's contents as structs, defaults filled in.
        compiled: what a limiter works with.
        warnings: what is odd about it, in the order of the file.
        text: its TOML; None for a policy that was given as a mapping.
    """

    __slots__ = ("compiled", "file", "name", "path", "text", "warnings")

    def __init__(
        self,
        name: str,
        path: str | None,
        file: PolicyFile,
        compiled: CompiledPolicy,
        warnings: tuple[Problem, ...],
        text: str | None,
    ) -> None:
        self.name = name
        self.path = path
        self.file = file
        self.compiled = compiled
        self.warnings = warnings
        self.text = text

    @property
    def digest(self) -> int:
        """A number that tells it from other policies: see `policy.digest`."""
        return digest(self.file)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Policy:
        """Return the policy in a TOML file.

        Raises:
            PolicyError: it cannot be read or used; `problems` has everything that is wrong.
        """
        name = fspath(path)
        report = Report(name)
        try:
            raw = read_file(path, source.MAX_BYTES)
        except OSError as error:
            hint = None
            if isinstance(error, FileNotFoundError) and not Path(name).is_absolute():
                hint = f"It was looked for in {Path.cwd()}, where this process was started."
            report.add("policy-unreadable", (), f"the file cannot be read: {error.strerror or error}", hint)
            raise _refused(report) from error
        text = source.decode(raw, report)
        if text is None:
            raise _refused(report)
        return cls._from_text(text, report, name)

    @classmethod
    def from_toml(cls, text: str, name: str = "<string>", *, path: str | None = None) -> Policy:
        """Return the policy in a TOML text.

        Args:
            text: the TOML.
            name: for messages.
            path: the file that it was read from once.

        Raises:
            PolicyError: as for `load`.
        """
        report = Report(name)
        decoded = source.decode(text.encode("utf-8", "surrogateescape"), report)
        if decoded is None:
            raise _refused(report)
        return cls._from_text(decoded, report, path)

    @classmethod
    def from_mapping(cls, tree: Mapping[str, Any], name: str = "<mapping>") -> Policy:
        """Return the policy in a tree of dicts and lists, shaped like the file.

        Raises:
            PolicyError: as for `load`; problems have no lines.
        """
        return cls._from_tree(dict(tree), Report(name), None, None)

    @classmethod
    def _from_text(cls, text: str, report: Report, path: str | None) -> Policy:
        tree = source.parse(text, report)
        if tree is None:
            raise _refused(report)
        return cls._from_tree(tree, report, path, text)

    @classmethod
    def _from_tree(cls, tree: dict[str, Any], report: Report, path: str | None, text: str | None) -> Policy:
        # The parser has looked at the shape of a text already.
        if text is None and not source.check_shape(tree, report):
            raise _refused(report)
        try:
            tuning = _tuning(tree, report)
            file = bind(PolicyFile, {key: value for key, value in tree.items() if key != "tuning"}, report)
            if tuning is not None:
                file = replace(file, tuning=tuning)
            compilation = compile_policy(file, tree, report.file, report)
            check(compilation, tree, report)
        except Exception as error:
            # None is known. A server must not come up half, nor a reload end in a traceback, if there is one.
            report.add("policy-fault", (), unforeseen(error))
            raise _refused(report) from error
        if report.has_errors or compilation.policy is None:
            raise _refused(report)
        return cls(report.file, path, file, compilation.policy, report.sorted(), text)

    def __repr__(self) -> str:
        return f"<Policy {self.name!r}: {len(self.compiled.limits)} limits>"


def _tuning(tree: dict[str, Any], report: Report) -> Tuning | None:
    """Return the numbers of the file that a policy names, None if it names none; note what is wrong there."""
    named = tree.get("tuning")
    if not isinstance(named, str):
        if named is not None:
            report.unusable(
                "policy-type",
                ("tuning",),
                "`tuning` must be the path of a file",
                'Write `tuning = "tuning.toml"`.',
            )
        return None
    path = tuning_path(report.file, named)
    own = Report(str(path))
    try:
        text = source.decode(read_file(path, source.MAX_BYTES), own)
    except OSError as error:
        report.add("tuning-file", ("tuning",), f"`{path}` cannot be read: {error.strerror or error}")
        return None
    numbers = None if text is None else source.parse(text, own)
    tuning = Tuning() if numbers is None else bind(Tuning, numbers, own)
    # They have the name of their own file, and its lines.
    report.problems += own.problems
    return tuning


def named_tuning(path: str | PathLike[str]) -> Path | None:
    """Return the file of tuning that a policy's file names, even if it cannot be used; None without one."""
    try:
        named = _TUNING.match(read_file(path, source.MAX_BYTES).decode("utf-8", "replace"))
    except (OSError, ValueError):
        return None
    return None if named is None else tuning_path(fspath(path), named[1])


def tuning_path(policy: str, named: str) -> Path:
    """Return the file of tuning that the policy in a file names."""
    return Path(policy).parent / named


def _refused(report: Report) -> PolicyError:
    problems = report.sorted()
    errors = [problem for problem in problems if problem.severity == "error"]
    shown = [str(problem) for problem in errors[:_LISTED]]
    if len(errors) > _LISTED:
        shown.append(f"... and {len(errors) - _LISTED} more")
    code = errors[0].code if len(errors) == 1 else "policy-invalid"
    return PolicyError("\n".join(shown), code=code, problems=problems)
