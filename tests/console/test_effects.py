"""Previews name the effect: how many accounts, what was refused of them, and who is freed or hit."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.running import run
from tests.cli.test_actors import REFUSED
from tests.console.driving import Page, Reader
from tests.support.acting import BOTS, Actor


def would(page: Page) -> str:
    """Return what a preview says that an act would do."""
    return page.text.partition("What it would do")[2]


def form(page: Page, kind: str) -> object:
    return next(each for each in page.forms if ("kind", kind) in each.fields)


@pytest.fixture
def page(actor: Actor, reader: Reader) -> Page:
    (name,) = actor.clusters(BOTS)
    return reader.get(f"/actor?id={name:016x}")


def test_each_act_on_an_actor_names_accounts_and_refusals(page: Page, reader: Reader) -> None:
    refused = f"refused actor {page.text.partition('Actor ')[2][:8]} {REFUSED[0]} times within the last hour"
    splitting = form(page, "split")
    cases = [
        (form(page, "clear"), {}, ["frees 60 accounts", "each of them counts by itself", refused]),
        (splitting, {"who": "bot1 bot2 bot3"}, ["2 accounts of actor", "freed", "58 accounts stay", refused]),
        (
            splitting,
            {"who": "bot1 person1 person2", "kind": "merge"},
            ["one actor of 62", "2 accounts more are bound", "`one actor` refuses them now", refused],
        ),
        (
            form(page, "organisation"),
            {"name": "Acme", "payment": "stolen1", "who": "bot1 bot7"},
            ["of 10 accounts", "10 of the 60 accounts of actor", "may leave it", "members are 2", refused],
        ),
    ]  # fmt: skip
    for what, fields, words in cases:
        said = would(reader.send(what, **fields))
        for each in words:
            assert each in said, (each, said)


def test_an_effect_is_what_the_act_then_does(page: Page, reader: Reader) -> None:
    """Hazard: a preview that is right in its words, and wrong in its numbers."""

    def only_actor() -> Page:
        (href,) = {href for href, _ in reader.get("/actors").links if "/actor?" in href}
        return reader.get(href)

    asked = reader.send(form(page, "split"), who="bot1 bot2 bot3")
    stays = int(re.findall(r"(\d+) accounts stay", would(asked))[0])
    reader.send(asked.form("Do it"))
    after = only_actor()
    assert f"{stays} accounts, the surest" in after.text
    asked = reader.send(form(after, "split"), who="bot1 person1 person2", kind="merge")
    of = int(re.findall(r"one actor of (\d+)", would(asked))[0])
    reader.send(asked.form("Do it"))
    assert f"{of} accounts, the surest" in only_actor().text
    assert "ends act 2" in would(reader.send(reader.get("/audit").form("Undo act 2")))


def test_each_undo_says_who_is_freed_or_bound_again(page: Page, reader: Reader, policy: Path) -> None:
    for kind, words in (
        ("clear", ["60 accounts of actor", "are bound by limits per actor again"]),
        ("confirm", ["have their own verdicts again", "those that are likely are freed"]),
    ):
        made = reader.send(reader.send(form(page, kind)).form("Do it"))
        said = would(reader.send(made.form("Undo")))
        for each in words:
            assert each in said, (kind, said)
        assert "ends act" in said
    for command, words in (
        (("exempt", "--from", "limits", "bot7"), ["limits apply to account", "none of them refuses it now"]),
        (("exempt", "bot7"), ["is in no actor now", "bind account"]),
        (("stop", "bot7"), ["is no longer refused by act"]),
        (
            ("declare", "organisation", "Acme", "--payment", "stolen1"),
            ["is evidence again between all accounts that pay by it"],
        ),
    ):
        kind, *rest = command
        group = [kind, rest.pop(0)] if kind == "declare" else [kind]
        assert run("act", *group, policy, *rest, "--yes").exit_code == 0, command
        said = would(reader.send(reader.get(reader.get("/audit").link("/act?act=")).form("Undo")))
        for each in words:
            assert each in said, (command, said)


# -- who is behind an address ---------------------------------------------------------------------


def test_networks_addresses_and_payment_methods_lead_on(actor: Actor, page: Page, reader: Reader) -> None:
    """Hazard: a page of a network that knows nobody there, with a true hash and nowhere to go."""
    kinds = {}
    for kind in ("ip", "payment"):
        kinds[kind] = reader.get(page.link(f"who={kind}%3D"))
    kinds["network"] = reader.get(kinds["ip"].link("who=network%3D"))
    kinds["block"] = reader.get(kinds["network"].link("who=block%3D"))
    for kind, found in kinds.items():
        assert "not known here" not in found.text, kind
        seen = found.html.partition('id="accounts-seen"')[2]
        assert re.search(r"\d+ accounts? of late", found.text), kind
        assert seen.count("/person?who=account") >= 2, kind
        assert seen.count("/actor?id=") >= 2, kind
        assert found.form("Stop"), kind
        assert found.form("Exempt from all limits"), kind
    (paying,) = re.findall(r"(\d+) accounts of late", kinds["payment"].text)
    assert paying == "10"
    account = reader.get(kinds["payment"].link("/person?who=account"))
    for kind in kinds:
        assert f"who={kind}%3D" in account.html, kind  # and back


def test_every_bar_of_a_picture_has_its_number_in_a_table(page: Page) -> None:
    """Hazard: a chart whose numbers a pointer alone finds."""
    picture, _, table = page.html.partition('aria-label="Growth by the time"')
    bars = re.findall(r"<rect[^>]*><title>(.*?) UTC: ([\d,]+)</title>", picture.partition('id="growth"')[2])
    cells = r'<th scope="row" class="label">(.*?)</th><td class="n">([\d,]+)</td>'
    rows = re.findall(cells, table.partition("</table>")[0])
    assert bars == rows
    assert len(bars) == 24
    assert bars[-1][1] == "60"
