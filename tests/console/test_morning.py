"""The analyst's morning: each question of it is answered by the console's pages alone."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.cli.running import run
from tests.cli.test_actors import REFUSED, key_of
from tests.console.driving import Form, Page, Reader
from tests.support.acting import BOTS, Actor


def test_analyst_answers_the_questions_of_a_morning(actor: Actor, reader: Reader, policy: Path) -> None:
    # Which limit is in trouble, and by whom?
    now = reader.get("/")
    assert "one actor" in now.text
    limit = reader.get(now.link("/limit?name=one"))
    assert re.search(rf"refused \d+ {REFUSED[0]}\b", limit.text)
    (name,) = actor.clusters(BOTS)

    # Who is this?
    found = reader.get(limit.link("/actor?id="))
    assert f"Actor {name:016x}"[:14] in found.text
    assert found.text.count("certain") > 60
    assert "60 accounts" in found.text

    # What did it take?
    assert "1,500 requests in " in found.text
    assert "50 used of 50 (50 a day)" in found.text
    by_requests = reader.get("/actors?by=requests")
    assert "1,500" in by_requests.text
    assert "50 of 50" in by_requests.text

    # What is the evidence?
    assert "6 payment methods of 60 accounts meet at 40 addresses nobody else uses" in found.text
    assert found.text.count("payment ") >= 6
    assert "<svg" in found.html

    # Which account is that?
    person = reader.find("bot7")
    assert f"account {key_of(actor, 'bot7'):016x}"[:16] in person.text
    assert "Certain by itself: it is new" in person.text
    assert "bot7" not in str(person.url)
    assert f"/actor?id={name:016x}" in person.html

    # What happens if it is split, or exempted?
    split = reader.send(found.form("Show what it would do"), who="bot7 bot8", kind="split")
    assert "of those in one actor the later leave it" in split.text
    exempting = reader.send(person.form("Exempt from limits per actor"))
    assert "leaves actor" in exempting.text
    assert "60 accounts" in exempting.text
    assert json.loads(run("show", "acts", policy, "--json").stdout)["acts"] == []  # nothing was done yet

    # Do it.
    done = reader.send(exempting.form("Do it"), reason="a customer of ours")
    assert "in force" in done.text
    assert "a customer of ours" in done.text
    (made,) = json.loads(run("show", "acts", policy, "--json").stdout)["acts"]
    assert (made["kind"], made["in_force"]) == ("exempt", True)
    assert made["accounts"] == [f"{key_of(actor, 'bot7'):016x}"]
    assert "59 accounts" in reader.get(f"/actor?id={name:016x}").text
    assert "The operator exempts it from every actor." in reader.find("bot7").text

    # Undo it.
    audit = reader.get("/audit")
    assert "a customer of ours" in audit.text
    undoing = reader.send(audit.form("Undo act 1"))
    assert "in force" not in reader.send(undoing.form("Do it")).text.partition("Hosts")[0]
    for page in (reader.get("/audit"), reader.get("/act?act=1")):
        assert re.search(r"undone by \S+@\S+, \d{4}-\d\d-\d\d", page.text)  # who undid it?
    assert "60 accounts" in reader.get(f"/actor?id={name:016x}").text
    acts = json.loads(run("show", "acts", policy, "--json").stdout)["acts"]
    assert [(each["kind"], each["in_force"]) for each in acts] == [("exempt", False), ("undo", False)]

    # What changed?
    changes = reader.get("/changes").text
    for words in (
        "act 1 made by ",
        "(a customer of ours): account ",
        "exempt from limits per actor",
        "act 1 undone",
        "actor found: now certain",
    ):
        assert words in changes
    of_person = reader.get(reader.find("bot7").link("/changes?since")).text
    assert "act 1 made" in of_person
    assert "act 1 made" not in reader.get(reader.find("person3").link("/changes?since")).text


def test_every_act_can_be_done_from_a_page(actor: Actor, reader: Reader, policy: Path) -> None:
    (name,) = actor.clusters(BOTS)
    page = reader.get(f"/actor?id={name:016x}")
    person = reader.find("person3")
    ways = [
        (page.form("Stop its accounts"), {}),
        (page.form("Show what it would do"), {"who": "person1 person2", "kind": "merge"}),
        (page.form("Show what it would do"), {"who": "bot1 bot2", "kind": "split"}),
        (page.form("Confirm it"), {}),
        (page.form("Clear it"), {}),
        (person.form("Exempt from all limits"), {}),
        (person.form("Stop"), {}),
        (_declaring(page), {"name": "Acme", "payment": "stolen1"}),
    ]  # fmt: skip
    for form, fields in ways:
        asked = reader.send(form, **fields)
        reader.send(asked.form("Do it"))
    acts = json.loads(run("show", "acts", policy, "--json").stdout)["acts"]
    assert [each["kind"] for each in acts] == [
        "stop", "merge", "split", "confirm", "clear", "exempt-limits", "stop", "organisation",
    ]  # fmt: skip
    assert len(acts[0]["accounts"]) == 60


def _declaring(page: Page) -> Form:
    return next(each for each in page.forms if ("kind", "organisation") in each.fields)
