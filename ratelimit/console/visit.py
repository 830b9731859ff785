"""One request of somebody who may look, as pages see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from starlette.responses import HTMLResponse, RedirectResponse, Response

from ratelimit.console.access import Visitor
from ratelimit.console.observation import Observation
from ratelimit.console.rendering import rendered
from ratelimit.decision import VERDICTS
from ratelimit.inspection import formatting
from ratelimit.inspection.failure import Cause

STATUS: Mapping[Cause, int] = {"call": 400, "input": 404, "deployment": 503}
"""By what is at fault, the status of a page that says so."""
_HEADINGS: Mapping[int, str] = {404: "Not found", 503: "Not to be known now"}
"""By the status, the heading of a page that has nothing else to show."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of a visitor, as pages see it."""

    observation: Observation
    visitor: Visitor
    base: str
    """Where the console is mounted."""
    query: Mapping[str, Sequence[str]]
    form: Mapping[str, Sequence[str]]
    mark: str

    def one(self, name: str, default: str = "") -> str:
        """Return a value of the form, or else of the address."""
        found = self.form.get(name) or self.query.get(name)
        return found[0] if found else default

    def all(self, name: str) -> list[str]:
        """Return all values of a name."""
        return list(self.form.get(name) or self.query.get(name) or ())

    def words(self, name: str) -> list[str]:
        """Return the words of all values of a name."""
        return [one for each in self.all(name) for one in each.split()]

    def page(self, name: str, *, status: int = 200, **values: Any) -> Response:
        """Return a page."""
        return HTMLResponse(self.text(name, **values), status)

    def failure(self, status: int, said: str, hint: str = "", way: tuple[str, str] | None = None) -> Response:
        """Return a page that says why there is nothing else, and a way on: an address and its words."""
        heading = _HEADINGS.get(status, "That did not work")
        return self.page("failure", status=status, heading=heading, said=said, hint=hint, way=way)

    def text(self, name: str, **values: Any) -> str:
        """Return a template filled in."""
        trouble = values.pop("trouble", ())
        return rendered(
            name,
            base=self.base,
            mark=self.mark,
            user=self.visitor.name,
            trouble=trouble,
            verdict_words=self._verdict_words,
            **values,
        )

    def _verdict_words(self, verdict: int | str | None) -> str:
        """Return an account's or an actor's verdict as every screen says it."""
        word = VERDICTS[verdict] if isinstance(verdict, int) else verdict
        _, policy, _ = self.observation.policy()
        return formatting.verdict_words(word, policy.compiled.rules) or "none"

    def to(self, path: str, **query: str | Sequence[str]) -> Response:
        """Return the way to another page of the console."""
        return RedirectResponse(self.path(path, **query), 303)

    def path(self, path: str, **query: str | Sequence[str]) -> str:
        """Return the address of another page of the console."""
        said = "&".join(
            f"{name}={quote(one, safe='')}"
            for name, value in query.items()
            for one in ([value] if isinstance(value, str) else value)
        )
        return f"{self.base}{path}{'?' if said else ''}{said}"
