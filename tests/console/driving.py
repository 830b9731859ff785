"""A reader of the console's pages without a browser: follows links, and sends forms as they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.testclient import TestClient

from ratelimit.console import console_app

TOKEN = "a token for a test"


@dataclass
class Form:
    """A form of a page, with what is filled in already."""

    method: str
    action: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    words: str = ""

    def filled(self, **more: str) -> dict[str, list[str]]:
        """Return what a browser would send."""
        found: dict[str, list[str]] = {}
        for name, value in self.fields:
            found.setdefault(name, []).append(value)
        return {**found, **{name: [value] for name, value in more.items()}}


class Page(HTMLParser):
    """One page as it came, and its parts."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.status: int = answer.status_code
        self.html: str = answer.text
        self.url = answer.url
        self.headers = answer.headers
        self.forms: list[Form] = []
        self.links: list[tuple[str, str]] = []
        self._open: str = ""
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(given.get("method", "get"), given["action"]))
        elif tag in ("input", "textarea") and self.forms and given.get("name"):
            if given.get("type") != "radio" or "checked" in given:
                self.forms[-1].fields.append((given["name"], given.get("value", "")))
        elif tag == "a":
            self.links.append((given.get("href", ""), ""))
        self._open = tag

    def handle_data(self, data: str) -> None:
        if self._open == "button" and self.forms:
            self.forms[-1].words += data
        if self._open in ("a", "code") and self.links:
            self.links[-1] = (self.links[-1][0], self.links[-1][1] + data)

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    @property
    def text(self) -> str:
        """What is to be read on it, in one line."""
        return " ".join(unescape(re.sub(r"<[^>]+>", " ", self.html)).split())

    def form(self, words: str) -> Form:
        """Return the form whose button says something."""
        return next(each for each in self.forms if words in each.words)

    def link(self, part: str) -> str:
        """Return the address of the first link that leads to a part of the console."""
        return next(href for href, _ in self.links if part in href)


class Reader:
    """Somebody who reads the console."""

    def __init__(self, client: TestClient, base: str = "") -> None:
        self.client, self.base = client, base

    def get(self, path: str, code: int = 200) -> Page:
        """Open a page."""
        page = Page(self.client.get(path if path.startswith(self.base) else self.base + path))
        assert page.status == code, page.text
        return page

    def send(self, form: Form, code: int = 200, **fields: str) -> Page:
        """Send a form; redirects are followed."""
        answer = self.client.post(form.action, data=form.filled(**fields))
        page = Page(answer)
        assert page.status == code, page.text
        return page

    def find(self, who: str, code: int = 200) -> Page:
        """Look somebody up, as the field at the top of each page does."""
        return self.send(self.get("/").form("Find"), code, who=who)


@contextmanager
def reading(policy: Path, *, code: int = 200) -> Iterator[Reader]:
    """Read the console of a policy, with its token; the first page has the code."""
    with TestClient(console_app(policy, token=TOKEN)) as client:
        answer = client.get("/enter", params={"token": TOKEN})
        assert answer.status_code == code, answer.text
        yield Reader(client)


@contextmanager
def mounted(policy: Path, user: Callable[[Any], str | None]) -> Iterator[Reader]:
    """Read the console as a part of an application that knows its users."""
    app = Starlette()
    app.mount("/staff/limits", console_app(policy, user=user))
    with TestClient(app) as client:
        yield Reader(client, "/staff/limits")
