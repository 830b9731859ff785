"""What an analyst met on a walk through all pages: dead ends, words that do not fit, things cut off."""

from __future__ import annotations

import json
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from ratelimit import Limiter
from ratelimit.clock import SystemClock
from ratelimit.console.app import MOST_FORM_BYTES
from ratelimit.inspection import formatting
from ratelimit.inspection.acts.words import event_words
from ratelimit.inspection.journal.entries import LONGEST_NOTE, journal_of
from ratelimit.policy import Policy
from ratelimit.worker.acts import ActFollower
from tests.cli.running import run
from tests.cli.test_actors import key_of
from tests.console.driving import Page, Reader, mounted, reading
from tests.console.test_browser import PHONE, serving, tab
from tests.console.test_browser import chromium as chromium
from tests.console.test_pages import plain as plain
from tests.support.a_week import write_week
from tests.support.acting import BOTS, Actor

GONE = "00ff00ff00ff0000"


def notes(policy: Path) -> list[dict[str, Any]]:
    lines = run("journal", policy, "--json").stdout.splitlines()
    return [each["fields"] for each in map(json.loads, lines) if each["kind"] == "note"]


def test_an_address_that_is_no_pages_has_a_way_on(plain: Path) -> None:
    """Hazard: two words on a white page, as after a mistyped address, or a form's address loaded again."""
    with reading(plain) as reader:
        for path in ("/nothing", "/preview", "/acts", "/find", "/limits/", "/a/b"):
            page = reader.get(path, 404)
            assert "there is no page at this address" in page.text
            assert page.link("/week")
            assert page.headers["content-security-policy"]
        reader.client.cookies.clear()
        assert reader.get("/nothing", 401).form("Enter")


def test_an_actor_that_is_gone_has_its_history(actor: Actor, reader: Reader) -> None:
    """Hazard: a link under what happened that ends at a command of the shell."""
    page = reader.get(f"/actor?id={GONE}", 404)
    assert "Not found" in page.text
    assert "ratelimit show" not in page.text
    assert reader.get(page.link("/changes?since=31d").replace("&amp;", "&")).status == 200
    assert "`ratelimit show actors`" in reader.get("/actor?id=no-id", 404).text


def test_a_form_that_is_too_long_says_so_on_a_page(plain: Path) -> None:
    with reading(plain) as reader:
        form = reader.find("eve").form("Show what it would do")
        page = reader.send(form, 413, numbers="9" * MOST_FORM_BYTES)
        assert "Nothing was done" in page.text
        assert page.link("/week")


@pytest.mark.parametrize("where", ["actor", "caller", "changes"])
def test_a_note_is_written_from_a_page(actor: Actor, reader: Reader, policy: Path, where: str) -> None:
    """Hazard: an analyst without a shell reads the notes of others, and can write none."""
    (name,) = actor.clusters(BOTS)
    path = {
        "actor": f"/actor?id={name:016x}",
        "caller": f"/person?who=account%3Dhash%3A{key_of(actor, 'bot7'):016x}",
        "changes": "/changes",
    }[where]
    form = reader.get(path).form("Write the note")
    empty = reader.send(form, 400, text=" ")
    assert "a note needs a text" in empty.text
    after = reader.send(empty.form("Write the note"), text="<b>asked them by mail" + "x" * LONGEST_NOTE)
    assert "&lt;b&gt;asked them by mail" in after.html
    (note,) = notes(policy)
    of = {"actor": [f"{name:016x}"], "caller": [f"{key_of(actor, 'bot7'):016x}"], "changes": []}[where]
    assert note["of"] == of
    assert len(note["text"]) == LONGEST_NOTE
    assert "asked them by mail" in reader.get(f"/changes{'?of=' if of else ''}{''.join(of)}").text


def test_a_note_has_the_name_of_the_applications_user(plain: Path) -> None:
    with mounted(plain, lambda request: "ann") as reader:
        reader.send(reader.get("/changes").form("Write the note"), text="a load test")
    assert notes(plain)[0]["by"].startswith("ann, as ")


def test_a_ruling_names_the_opposite_one_that_it_goes_before(actor: Actor, reader: Reader) -> None:
    """Hazard: `confirmed` and `cleared` are both in force on one page, and nobody said which holds."""
    (name,) = actor.clusters(BOTS)
    address = f"/actor?id={name:016x}"
    clearing = reader.send(reader.get(address).form("Clear it"))
    assert "goes before" not in clearing.text
    reader.send(clearing.form("Do it"))
    confirming = reader.send(reader.get(address).form("Confirm it"))
    assert "act 1 clears it; this act goes before that one while it holds" in confirming.text
    undoing = reader.send(reader.get("/audit").form("Undo act 1"))
    assert "bound by limits per actor again" in undoing.text or "bind 60 accounts again" in undoing.text
    assert "is in no actor now" not in undoing.text


def test_an_organisation_is_not_called_an_account() -> None:
    """Hazard: hashes of payment methods, with the word `account` before them."""
    said = event_words({"kind": "organisation", "of": ["1", "2"], "says": "Northside School", "until": 60})
    assert said == "organisation Northside School, until 1970-01-01 00:01:00 UTC"
    assert event_words({"kind": "stop", "identity": "ip", "of": ["1"]}) == "ip 00000000 stopped"


def test_every_limit_on_a_page_leads_somewhere(plain: Path) -> None:
    """Hazard: `deny list` is first among the limits in trouble, and its page says that there is none."""
    assert run("act", "stop", plain, "eve", "--yes").exit_code == 0
    limiter = Limiter(plain)
    try:
        follower = ActFollower(limiter.store.place)
        follower.begin(limiter)
        follower.look(limiter)
        for _ in range(3):
            limiter.decide(path="/a", headers={"x-api-key": "eve"}, client="192.0.2.1")
        with reading(plain) as reader:
            shown = reader.get("/limits")
            ways = {unescape(href) for href, _ in shown.links if "/limit?" in href}
            assert "/limit?name=deny%20list" in ways
            for way in ways:
                reader.get(way)
            denied = reader.get("/limit?name=deny%20list")
            assert "act 1" in denied.text
            assert reader.get(unescape(denied.link("/person?"))).link("/act?act=1")
    finally:
        follower.resign()
        limiter.close()


def test_a_unit_is_named_once() -> None:
    assert formatting.amount_of(1350, 2000, "output_tokens") == "1,350 of 2,000 output_tokens"
    assert formatting.amount_of(250_000, 5_000_000, "usd") == "0.25 of 5 usd"
    assert formatting.amount_of(3, 20, "requests") == "3 of 20"


ONE_LINE = """
    [...document.querySelectorAll("td, th")].filter((each) => {
      if (!/^\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d(:\\d\\d)?$/.test(each.textContent.trim())) return false;
      const text = document.createRange();
      text.selectNodeContents(each);
      return new Set([...text.getClientRects()].map((box) => box.top)).size > 1;
    }).map((each) => each.textContent)
"""


@pytest.fixture
def pages(actor: Actor, policy: Path) -> dict[str, str]:
    (name,) = actor.clusters(BOTS)
    with journal_of(Policy.load(policy)) as journal:
        assert journal.place is not None
        write_week(journal.place, SystemClock().now_ns(), f"{name:016x}")
    assert run("act", "exempt", policy, "bot9", "--reason", "a customer of ours").exit_code == 0
    return {
        "actors": "/actors",
        "actor": f"/actor?id={name:016x}",
        "person": f"/person?who=account%3Dhash%3A{key_of(actor, 'bot7'):016x}",
        "limit": "/limit?name=one%20actor",
        "acts": "/audit",
        "week": "/week",
    }


def test_nothing_is_cut_off_or_broken(chromium: Any, policy: Path, pages: dict[str, str]) -> None:
    """Hazard: a time in three lines, half a hint, half the name of today, a heading below its button."""
    with serving(policy) as base, tab(chromium, base) as shown:
        for width in (PHONE["width"], 390, 1280):
            shown.page.set_viewport_size({"width": width, "height": 800})
            for title, path in pages.items():
                page = shown.open(path)
                assert page.evaluate(ONE_LINE) == [], (title, width)
                # What the field hints at is seen whole.
                hint = """() => {
                  const field = document.querySelector("#who");
                  field.value = field.placeholder;
                  const is_cut = field.scrollWidth > field.clientWidth;
                  field.value = "";
                  return is_cut;
                }"""
                assert not page.evaluate(hint), (title, width)
                for line in page.locator(".line:has(h2)").all():
                    head, button = line.locator("h2").bounding_box(), line.locator("button").bounding_box()
                    middles = [box["y"] + box["height"] / 2 for box in (head, button)]
                    assert middles[0] == pytest.approx(middles[1], abs=2), (title, width)
            page = shown.open("/week")
            cut = """[...document.querySelectorAll("svg.week text")].filter((each) => {
              const box = each.getBBox();
              return box.x < 0 || box.x + box.width > each.ownerSVGElement.viewBox.baseVal.width;
            }).map((each) => each.textContent)"""
            assert page.evaluate(cut) == []


def test_the_page_that_is_not_there_keeps_the_words_of_others_apart(plain: Path) -> None:
    with reading(plain) as reader:
        page = Page(reader.client.get("/<script>alert(1)</script>"))
        assert page.status == 404
        assert "alert(1)" not in page.html
