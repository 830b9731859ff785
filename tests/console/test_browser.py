"""The console in a real browser: what a person without a mouse, in the dark or with a phone gets to see.

`--screenshots` writes the pictures of the documentation anew.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from ratelimit import Limiter, Policy
from ratelimit.clock import SystemClock
from ratelimit.console import console_app
from ratelimit.inspection.journal.entries import journal_of
from tests.cli.running import run, write_policy
from tests.cli.test_actors import key_of
from tests.console.driving import TOKEN
from tests.console.test_pages import PLAIN
from tests.support.a_week import write_week
from tests.support.acting import BOTS, Actor
from tests.support.browser import axe, browser
from tests.support.redis.patience import PATIENCE_S, until

IMAGES = Path(__file__).absolute().parents[2] / "docs" / "images"
PHONE = {"width": 360, "height": 740}
LINES = 1_000_000
"""Of the file of names, as a deployment with so many accounts has it."""
TABLET = {"width": 768, "height": 1024}
DESK = {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as found:
        yield found


@contextmanager
def serving(policy: Path) -> Iterator[str]:
    """Serve a console in a thread of this process; return its address."""
    config = uvicorn.Config(
        console_app(policy, token=TOKEN),
        port=0,
        log_level="error",
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    listening = config.bind_socket()
    # A browser that comes before the thread has begun waits, in place of being refused.
    listening.listen(128)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
        listening.close()


class Tab:
    """A tab, with all that it complained about and asked for."""

    def __init__(self, context: Any, base: str) -> None:
        self.page, self.base = context.new_page(), base
        self.errors: list[str] = []
        self.asked: list[str] = []
        self.page.on(
            "console", lambda said: said.type in ("error", "warning") and self.errors.append(said.text)
        )
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.errors.append("a dialog"), dialog.dismiss()))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def open(self, path: str) -> Any:
        # A page that follows the deployment never rests.
        self.page.goto(self.base + path, wait_until="load")
        return self.page

    def check(self) -> None:
        """Have the tab complained of nothing, and asked nobody else for anything."""
        assert self.errors == []
        others = {url for url in self.asked if not url.startswith((self.base, "data:", "blob:"))}
        assert others == set()


@contextmanager
def tab(chromium: Any, base: str, **more: Any) -> Iterator[Tab]:
    context = chromium.new_context(viewport=DESK, **more)
    context.set_default_timeout(1_000 * PATIENCE_S)
    try:
        found = Tab(context, base)
        found.open(f"/enter?token={TOKEN}")
        yield found
        found.check()
    finally:
        context.close()


SEEN = "runOnly: ['color-contrast', 'link-in-text-block', 'scrollable-region-focusable', 'target-size']"
"""The rules whose answer depends on colours and width; the others read the same page twice."""


def violations(page: Any, rules: str = "") -> list[tuple[str, str, str]]:
    """Return what axe finds that keeps people out, by all rules or some."""
    # The dots of a drawing are parts of one picture, with a name of its own.
    parts = "{exclude: [['circle'], ['path'], ['rect']]}"
    found = page.evaluate(f"axe.run({parts}, {{resultTypes: ['violations'], {rules}}})")["violations"]
    return [(each["impact"], each["id"], each["nodes"][0]["html"][:200]) for each in found]


def test_pages_keep_nobody_out(
    chromium: Any, actor: Actor, policy: Path, request: pytest.FixtureRequest
) -> None:
    (name,) = actor.clusters(BOTS)
    with journal_of(Policy.load(policy)) as journal:
        assert journal.place is not None
        write_week(journal.place, SystemClock().now_ns(), f"{name:016x}")
    assert run("act", "exempt", policy, "bot9", "--reason", "a customer of ours").exit_code == 0
    person = f"/person?who=account%3Dhash%3A{key_of(actor, 'bot7'):016x}"
    is_whole = request.config.getoption("--screenshots")
    paths = {
        "now": "/",
        "limits": "/limits",
        "limit": "/limit?name=one%20actor",
        "actors": "/actors",
        "actor": f"/actor?id={name:016x}",
        "person": person,
        "took": "/took",
        "acts": "/audit",
        "act": "/act?act=1",
        "changes": "/changes",
        "week": "/week",
        "failure": "/act?act=77",
    }
    sent: dict[str, tuple[str, str, dict[str, str]]] = {
        "preview": (paths["actor"], "Clear it", {}),
        "again": (paths["actor"], "Show what it would do", {"#accounts": "bot7"}),
        "network": (person, "", {}),
    }
    with serving(policy) as base, tab(chromium, base) as shown:
        for title in (*paths, *sent):
            page = shown.open(paths[title] if title in paths else sent[title][0])
            if title == "network":
                page.goto(base + page.get_attribute("a[href*='who=network']", "href"))
            elif title in sent:
                _, words, typed = sent[title]
                page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
                for place, text in typed.items():
                    page.fill(place, text)
                page.locator(
                    f"form:has({next(iter(typed), 'button')}) button:has-text('{words}')"
                ).first.click()
                page.get_by_role("heading", level=1).wait_for()
            page.evaluate(axe())
            for size in (DESK, TABLET, PHONE):
                page.set_viewport_size(size)
                for scheme in ("light", "dark"):
                    # What one look in the other scheme does not show, all six do.
                    if (size, scheme) in ((DESK, "light"), (PHONE, "dark")) or is_whole:
                        page.emulate_media(color_scheme=scheme)
                        rules = "" if (size, scheme) == (DESK, "light") else SEEN
                        assert violations(page, rules) == [], (title, scheme, size)
                # The page itself does not move sideways: wide tables do so within.
                moves = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
                assert not page.evaluate(moves), (title, size)
            page.emulate_media(color_scheme="light")
            page.set_viewport_size(DESK)
            if title in ("failure", "again"):
                shown.errors.clear()  # a browser reports every 4xx
        shown.page.emulate_media(color_scheme="light")
        shown.page.set_viewport_size(DESK)
        if request.config.getoption("--screenshots"):
            for each in ("actor", "week"):
                shown.open(paths[each]).screenshot(path=IMAGES / f"console-{each}.png")
        with tab(chromium, base) as entering:
            entering.page.context.clear_cookies()
            page = entering.open("/enter")
            page.evaluate(axe())
            assert violations(page) == []
            entering.errors.clear()  # 401: nobody has entered


def test_a_page_is_worked_by_keys_alone(chromium: Any, actor: Actor, policy: Path) -> None:
    with serving(policy) as base, tab(chromium, base) as shown:
        page = shown.open("/changes")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        page.focus("#who")
        page.keyboard.type("bot7")
        page.keyboard.press("Enter")
        page.wait_for_selector("text=Certain by itself")
        page.focus("button:has-text('Exempt from all limits')")
        page.keyboard.press("Enter")
        page.wait_for_selector("text=no limit applies to requests of account")
        page.focus("button.do")
        page.keyboard.press("Space")
        page.wait_for_selector("text=in force")


def test_every_act_is_reached_by_keys_and_has_a_name(chromium: Any, actor: Actor, policy: Path) -> None:
    """Hazard: a button that a mouse alone finds, or that a screen reader has no words for."""
    (name,) = actor.clusters(BOTS)
    assert run("act", "exempt", policy, "bot9").exit_code == 0
    person = f"/person?who=account%3Dhash%3A{key_of(actor, 'bot7'):016x}"
    actors = f"/actor?id={name:016x}"
    accounts, limits = "Accounts, or hashes of accounts", "Limits, with commas between them"
    typed = {accounts: "bot1 bot2", limits: "requests=9"}
    ways = [
        *((person, each, "") for each in ("Exempt from limits per actor", "Exempt from all limits", "Stop")),
        *((person, each, "") for each in ("Clear its actor", "Confirm its actor")),
        *((actors, each, "") for each in ("Clear it", "Confirm it", "Stop its accounts")),
        (actors, "", accounts),
        (person, "", limits),
        ("/audit", "Undo act 1", ""),
    ]
    with serving(policy) as base, tab(chromium, base) as shown:
        for path, words, field in ways:
            page = shown.open(path)
            if field:
                page.locator("details:has(fieldset) > summary").focus()
                page.keyboard.press("Enter")
                page.get_by_label(field, exact=True).focus()
                page.keyboard.type(typed[field])
                page.keyboard.press("Tab")
            else:
                page.get_by_role("button", name=re.compile(f"^{words}")).focus()
            page.keyboard.press("Enter")
            page.get_by_role("heading", name="What it would do").wait_for()
            assert page.get_by_label("Why, for the list of acts").count() == 1
            assert page.get_by_role("button", name=re.compile("^Do it")).count() == 1
        # An error is where the cursor is, and is read out with its field.
        page = shown.open(actors)
        page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
        page.fill("#accounts", "bot1")
        page.press("#accounts", "Tab")
        page.keyboard.press("Enter")
        page.get_by_role("alert").wait_for()
        assert page.evaluate("document.activeElement.id") == "accounts"
        words = "document.getElementById(document.activeElement.getAttribute('aria-describedby')).textContent"
        assert "at least 2 accounts" in page.evaluate(words)
        shown.errors.clear()  # a browser reports every 400


def test_pictures_are_read_by_pointer_and_by_keys(chromium: Any, actor: Actor, policy: Path) -> None:
    """Hazard: bars without numbers, and a hundred lines in which nobody sees one account's."""
    (name,) = actor.clusters(BOTS)
    with journal_of(Policy.load(policy)) as journal:
        assert journal.place is not None
        write_week(journal.place, SystemClock().now_ns(), f"{name:016x}")
    with serving(policy) as base, tab(chromium, base) as shown:
        page = shown.open("/week")
        reading = page.locator("[data-reading]")
        page.locator("rect.is-outages").hover()
        assert "the server was not used for 2 hours" in reading.inner_text()
        page.focus("[data-chart]")
        seen = []
        for key in ("ArrowLeft", "ArrowLeft", "ArrowRight"):
            page.keyboard.press(key)
            seen.append(reading.inner_text())
        assert seen[0] == seen[2] != seen[1]
        assert re.search(r":00:00 UTC: [\d,]+ allowed, [\d,]+ refused", seen[0])
        page.click("nav[aria-label=Time] >> text=a day")
        page.wait_for_selector("a[aria-current]:has-text('a day')")
        assert 20 <= page.locator("rect.is-allowed").count() <= 24
        page = shown.open(f"/actor?id={name:016x}")
        dot = page.locator("[data-node] circle.is-payment").first
        dot.hover()
        reading = page.locator("[data-drawing] [data-reading]")
        assert "10 of the accounts drawn" in reading.inner_text()
        assert page.locator("[data-ties].is-tied").count() == 10
        dot.click()
        page.wait_for_selector("text=10 accounts of late")


def test_numbers_follow_the_deployment(chromium: Any, tmp_path: Path) -> None:
    policy = write_policy(tmp_path, PLAIN.format(tmp_path / "table"))
    limiter = Limiter(policy)
    try:
        limiter.decide(path="/a", headers={"x-api-key": "eve"}, client="192.0.2.1")
        with serving(policy) as base, tab(chromium, base) as shown:
            page = shown.open("/")
            for _ in range(40):
                limiter.decide(path="/a", headers={"x-api-key": "eve"}, client="192.0.2.1")
            page.wait_for_selector("td:text-is('39')")  # without loading it again
            page.click("button:has-text('Pause')")
            assert page.get_attribute("[data-pause]", "aria-pressed") == "true"
    finally:
        limiter.close()


def test_callers_page_follows_the_deployment(chromium: Any, tmp_path: Path) -> None:
    """Hazard: a person on the telephone reads that a customer has room, which was so a minute ago."""
    policy = write_policy(tmp_path, PLAIN.format(tmp_path / "table"))
    limiter = Limiter(policy)
    try:
        limiter.decide(path="/a", headers={"x-api-key": "eve"}, client="192.0.2.1")
        with serving(policy) as base, tab(chromium, base) as shown:
            page = shown.page
            page.fill("#who", "eve")
            page.press("#who", "Enter")
            page.wait_for_selector("td:text('1 of 2')")
            page.click("summary:has-text('together with')")
            page.fill("#beside", "192.0.2.")
            for _ in range(4):
                limiter.decide(path="/a", headers={"x-api-key": "eve"}, client="192.0.2.1")
            page.wait_for_selector(
                "span.bad:text('refuses: the next request fits in')"
            )  # without loading it again
            page.wait_for_selector("td:text('0 of 2')")
            assert page.input_value("#beside") == "192.0.2."  # what was typed stays
            page.click("button:has-text('Pause')")
    finally:
        limiter.close()


def test_a_limit_is_looked_at_with_other_numbers(chromium: Any, tmp_path: Path) -> None:
    """Hazard: what a raised limit would let through is in a terminal alone, where no analyst looks."""
    policy = write_policy(tmp_path, PLAIN.format(tmp_path / "table"))
    limiter = Limiter(policy)
    try:
        for account, requests in (("eve", 3), ("ann", 5), ("bob", 40)):
            for _ in range(requests):
                limiter.decide(path="/a", headers={"x-api-key": account}, client="192.0.2.1")
        with serving(policy) as base, tab(chromium, base) as shown:
            page = shown.open("/limit?name=requests")
            for times in (2.0, 1.5, 10.0):
                if times != 2.0:
                    page.fill("#times", f"{times:g}")
                    page.press("#times", "Enter")
                    page.wait_for_url(f"**times={times:g}*")
                options = ("--limit", "requests", "--times", f"{times:g}")
                (words,) = re.findall(
                    r"If callers asked as they did, [^.]*\.",
                    " ".join(run("show", "refused", policy, *options).stderr.split()),
                )
                assert "of 3 refused callers" in words
                assert page.get_by_text(words, exact=True).is_visible(), words
                assert page.input_value("#times") == f"{times:g}"
            assert page.get_by_role("spinbutton", name="Times its numbers").is_visible()
            page.evaluate(axe())
            assert violations(page) == []
            assert page.get_by_role("heading", name="Limit requests").is_visible()
            # Of a limit that refused nobody nothing is said, and a number that is none has a sentence.
            assert not shown.open("/limit?name=trial").get_by_text("At other numbers").count()
            page.goto(f"{base}/limit?name=requests&times=nan")
            assert page.get_by_text("Write a number above 1, up to 1,000.").is_visible()
            shown.errors.clear()  # a page of 400 is one in the browser's console
    finally:
        limiter.close()


def box_of(element: Any) -> Any:
    """Return where an element is; a part that follows the deployment may be replaced in between."""
    found: list[Any] = []
    until(lambda: found.append(element.bounding_box()) or found[-1], "an element's place")
    return found[-1]


def test_a_phone_shows_first_whether_a_limit_refuses(chromium: Any, actor: Actor, policy: Path) -> None:
    """Hazard: on a phone the word `refuses` is beyond the edge, behind four columns of terms."""
    person = f"/person?who=account%3Dhash%3A{key_of(actor, 'bot7'):016x}"
    with serving(policy) as base, tab(chromium, base) as shown:
        shown.page.set_viewport_size(PHONE)
        for path, region, words in (
            (person, "Limits that bind it", "refuses"),
            (person, "Refusals", "refused"),
            ("/limit?name=one%20actor", "Callers", "refused"),
        ):
            page = shown.open(path)
            table = page.get_by_role("region", name=region, exact=True)
            first = table.locator("tbody tr").first
            box = box_of(first.locator(f"td:has-text('{words}')").first)
            assert box["x"] + box["width"] <= PHONE["width"], (path, region)
            # A row's name stays when the table is moved, and its words are not broken by the letter.
            head = first.locator("th")
            before = box_of(head)
            table.evaluate("each => { each.scrollLeft = 200 }")
            assert box_of(head)["x"] == before["x"]
            assert before["height"] < 160


def test_names_are_joined_in_the_browser_and_nowhere_else(
    chromium: Any, actor: Actor, policy: Path, tmp_path: Path
) -> None:
    """Hazard: names of accounts sent to a server, or taken for markup or a formula."""
    hostile = '=cmd|"/c calc"!A1 <img src=x onerror=alert(1)>'
    names = {f"{key_of(actor, bot):016x}": bot for bot in BOTS}
    first = next(iter(names))
    names[first] = hostile
    quoted = {key: '"' + name.replace('"', '""') + '"' for key, name in names.items()}
    with (tmp_path / "names.csv").open("w", encoding="utf-8") as file:
        for number in range(LINES):
            if number == LINES // 2:
                file.writelines(f"{key},{name}\n" for key, name in quoted.items())
            file.write(f"{number:016x},somebody{number}\n")
    (actor_id,) = actor.clusters(BOTS)
    with serving(policy) as base, tab(chromium, base) as shown:
        page = shown.open(f"/actor?id={actor_id:016x}")
        sent: list[str] = []
        page.on("request", lambda request: sent.append(f"{request.url} {request.post_data}"))
        page.set_input_files("#names", tmp_path / "names.csv")
        page.wait_for_selector("text=Names for 60 of 60 accounts.", timeout=120_000)
        assert page.locator("[data-key]", has_text="bot7").count() == 1
        assert page.locator("[data-key] img").count() == 0
        with page.expect_download() as download:
            page.click("button:has-text('Export with names')")
        text = Path(download.value.path()).read_text("utf-8")
        assert f"bot7,{key_of(actor, 'bot7'):016x},certain" in text
        assert f'"\'=cmd|""/c calc""!A1 <img src=x onerror=alert(1)>",{first}' in text
        assert len(text.splitlines()) == 61
        assert "bot7" not in "".join(sent)
        assert [each for each in sent if "members.csv" not in each and "blob:" not in each] == []


def test_two_tabs_agree(chromium: Any, actor: Actor, policy: Path) -> None:
    (name,) = actor.clusters(BOTS)
    with serving(policy) as base, tab(chromium, base) as one, tab(chromium, base) as other:
        for each in (one, other):
            each.open(f"/actor?id={name:016x}").click("button:has-text('Clear it')")
            each.page.wait_for_selector("text=frees 60 accounts")
        one.page.click("button.do")
        one.page.wait_for_selector("text=in force")
        other.page.click("button.do")
        other.page.wait_for_selector("text=Nothing was done: something has changed")
        assert other.page.locator("text=is cleared already").count() == 1
        other.errors.clear()  # a browser reports every 409
        other.open(f"/actor?id={name:016x}")
        assert "cleared by" in other.page.inner_text("main")
