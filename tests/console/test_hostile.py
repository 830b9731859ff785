"""What others wrote is text on every page: names, hashes, reasons, notes, forms, and the address itself."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from ratelimit import Policy
from ratelimit.clock import SystemClock
from ratelimit.console.pages import LOOKING
from ratelimit.console.rendering import HERE, TEMPLATES
from ratelimit.events import Event
from ratelimit.inspection.journal.entries import journal_of
from ratelimit.stores.journal import events_of, quarters_of
from tests.cli.running import run
from tests.console.driving import Page, Reader, mounted
from tests.console.test_took import HOUR_NS, write_takings
from tests.support.acting import BOTS, END_NS, START_NS, caught
from tests.support.campaign import Request, policy_text
from tests.support.time import stop_host

HOSTILE = (
    "javascript:alert(1)//'\"></title></textarea></script><script>alert(1)</script>"
    "<img src=x onerror=alert(1)>{{ 7919 * 7907 }}{% raw %}&lt;b&gt;"
)
HIDDEN = "\u202e\u2066\x9b"
"""Characters that turn what is read around, or that a terminal obeys."""
ASKED = {"/limit": "name", "/actor": "id", "/person": "who", "/act": "act"}
"""What an address names."""
ELSEWHERE = {"door", "enter", "closed", "gone"}
"""Templates of visitors who have not entered, and of a stream that ends."""


class Tags(HTMLParser):
    """The tags of a page as a browser reads them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


OURS = set(
    re.findall(r"<([a-z0-9]+)", "".join(file.read_text("utf-8") for file in (HERE / "templates").iterdir()))
)


def check(page: Page) -> None:
    """Have nothing on a page that somebody wrote be more than text."""
    for tag, attributes in Tags(page.html).found:
        assert tag in OURS, (tag, page.url)
        assert tag != "script" or str(attributes.get("src")).startswith("/staff/limits/assets/"), page.url
        assert not any(each.startswith("on") or each == "style" for each in attributes), page.url
        for name in ("href", "src", "action"):
            assert str(attributes.get(name, "/staff/")).startswith(("/staff/", "#")), attributes
    assert not any(each in page.html for each in HIDDEN), page.url
    assert str(7919 * 7907) not in page.text, page.url


def test_what_others_wrote_is_text_on_every_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hazard: a new page, or an old one's corner, that lets somebody's markup through."""
    used: set[str] = set()
    get = TEMPLATES.get_template

    def noting(name: Any, *more: Any, **others: Any) -> Any:
        used.add(str(name).removesuffix(".jinja"))
        return get(name, *more, **others)

    monkeypatch.setattr(TEMPLATES, "get_template", noting)
    path = tmp_path / "policy.toml"
    text = policy_text(store=f'memory = "{tmp_path / "table"}"\nkeys = 5000', budget="50/day")
    limits = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
    path.write_text(text.replace('name = "one actor"', f"name = {json.dumps(limits)}"), "utf-8")
    world = caught(path)
    at_s = (END_NS - START_NS) / 1e9
    world.live(
        Request(at_s, name, f"stolen{number % 6}", "", "192.0.2.1") for number, name in enumerate(BOTS)
    )
    assert world.limiter.clustering is not None
    world.limiter.clustering.resign(END_NS)
    stop_host(monkeypatch, END_NS)
    (name,) = world.clusters(BOTS)
    with journal_of(Policy.load(path)) as journal:
        assert journal.place is not None
        now_ns = SystemClock().now_ns() - 2 * HOUR_NS
        host = HOSTILE + HIDDEN
        fields: dict[str, dict[str, Any]] = {
            "policy-reloaded": {"digest": host, "changes": host, "by": host},
            "act-made": {"act": host, "kind": host, "words": host, "by": host, "reason": host},
            "actor-found": {"actor": host, "verdict": host, "accounts": 7},
            "note": {"text": host, "by": host, "of": [host]},
            "self-check": {"code": host, "words": host},
            "store-back": {"away_seconds": 7.0},
        }
        lines = [Event(kind, now_ns, host, 7, each).json().encode() for kind, each in fields.items()]
        events_of(journal.place).append(lines)
        counts = {"begin": now_ns // 10**9 // 900 * 900, "requests": {"refused": 9}}
        quarter = Event("quarter", now_ns, host, 7, counts | {"limits": {limits: {"refused": 9}}})
        quarters_of(journal.place).append([quarter.json().encode()])
        write_takings(journal.place, now_ns // HOUR_NS * HOUR_NS, host, **{limits: {f"{name:016x}": 7}})
    assert run("act", "exempt", path, "bot9", "--reason", HOSTILE, "--by", HOSTILE).exit_code == 0
    assert (
        run("act", "declare", "organisation", path, HOSTILE[:60], "--payment", "own", "--yes").exit_code == 0
    )
    try:
        with mounted(path, lambda request: HOSTILE + HIDDEN) as reader:
            pages = list(_pages(reader, f"{name:016x}", limits))
            for page in pages:
                check(page)
            assert sum("alert(1)" in page.text for page in pages) > len(LOOKING)
        partials = {file.stem for file in (HERE / "templates").iterdir()}
        assert used | ELSEWHERE == partials
    finally:
        world.limiter.close()


def _pages(reader: Reader, actor: str, limit: str) -> Any:
    written = quote(HOSTILE + HIDDEN)
    who = reader.get(f"/actor?id={actor}").link("/person?who=account")
    more = {
        "/limit": f"?name={quote(limit)}",
        "/actor": f"?id={actor}",
        "/person": who.partition("/person")[2],
        "/act": "?act=1",
        "/changes": f"?of={written}&since=31d",
        "/actors": f"?by={written}",
        "/took": f"?limit={quote(limit)}",
        "/week": f"?since={written}",
    }
    for path in LOOKING:
        if path != "/members.csv":
            yield reader.get(path + more.get(path, ""), *([400] if path == "/week" else []))
            yield Page(reader.client.get(f"/staff/limits{path}?{ASKED.get(path, 'since')}={written}"))
    yield reader.get("/week")
    page = reader.get(f"/actor?id={actor}")
    person = reader.get(who)
    for form in (*page.forms, *person.forms):
        fields = {name: HOSTILE for name, _ in form.fields if name not in ("mark", "kind", "of", "from")}
        yield Page(reader.client.post(form.action, data=form.filled(**fields)))
    asking = reader.send(person.form("Stop"), reason=HOSTILE)
    yield asking
    yield reader.send(asking.form("Do it"), 400, **{"for": HOSTILE, "reason": HOSTILE})
    yield reader.send(asking.form("Do it"), reason=HOSTILE + HIDDEN)
    yield reader.get("/audit")
    yield reader.get("/changes?since=31d")
