"""Forms that are refused come back as they were typed, with the error beside the field and a way on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ratelimit.console.forms import ACTING, FIELDS
from tests.cli.running import run
from tests.cli.test_actors import key_of
from tests.console.driving import Form, Page, Reader, reading
from tests.console.test_pages import acts
from tests.console.test_pages import plain as plain
from tests.support.acting import BOTS, Actor

TYPED = "typed & <kept>"


def beside(page: Page) -> list[tuple[str, str]]:
    """Return the fields that are wrong, with what is said beside each."""
    found = []
    for attributes in re.findall(r'<(?:input|textarea)\b([^>]*aria-invalid="true"[^>]*)>', page.html):
        name = re.findall(r'name="([^"]*)"', attributes)[0]
        said = re.findall(r'aria-describedby="([^"]*)"', attributes)[0]
        found.append((name, re.findall(rf'id="{said}" role="alert">([^<]*)', page.html)[0]))
    return found


def value(page: Page, name: str) -> str:
    """Return what a field has."""
    text = page.html
    area = re.findall(rf'<textarea[^>]*name="{name}"[^>]*>([^<]*)', text)
    return (area or re.findall(rf'<input[^>]*name="{name}"[^>]*value="([^"]*)"', text))[-1]


ACME = {"kind": "organisation", "name": "Acme"}
CASES = [
    ({"kind": "split", "who": "bot1"}, "who", "at least 2 accounts", "/actor?id="),
    ({"kind": "merge", "who": "bot1 network=hash:00000000"}, "who", "nobody known here", "/actor?id="),
    ({"kind": "organisation", "name": "", "payment": "stolen1"}, "name", "needs a name", "/actor?id="),
    (ACME | {"payment": ""}, "payment", "needs what its members share", "/actor?id="),
    (ACME | {"payment": "9.9.9.0/24"}, "payment", "the field of networks", "/actor?id="),
    (ACME | {"network": "payment=stolen1"}, "network", "no network", "/actor?id="),
    (ACME | {"payment": "stolen1", "who": "ip=9.9.9.9"}, "who", "takes accounts", "/actor?id="),
    ({"kind": "budget set", "who": "bot7", "numbers": "9"}, "numbers", "names no limit", "/"),
    ({"kind": "budget add", "who": "bot7", "numbers": "request=9"}, "numbers", "Did you mean", "/"),
    ({"kind": "stop", "who": "bot1 bot2"}, "who", "takes one caller", "/"),
    ({"kind": "exempt", "who": "hash:00000000"}, "who", "nobody known here", "/"),
    ({"kind": "clear", "who": "ip=9.9.9.9"}, "who", "takes accounts", "/"),
    ({"kind": "undo", "act": "77"}, "act", "no act 77 is in force", "/audit"),
]  # fmt: skip


def test_every_act_that_is_refused_comes_back(actor: Actor, reader: Reader, policy: Path) -> None:
    """Hazard: twenty accounts typed, one wrong, and an empty page."""
    (name,) = actor.clusters(BOTS)
    page = reader.get(f"/actor?id={name:016x}")
    (mark,) = {value for form in page.forms for field, value in form.fields if field == "mark"}
    for fields, field, words, way in CASES:
        of = {"of": f"{name:016x}"} if way == "/actor?id=" else {}
        form = Form("post", "/preview", [("mark", mark), *fields.items(), *of.items()])
        answer = Page(reader.client.post("/preview", data=form.filled()))
        assert answer.status in (400, 404), fields
        ((wrong, said),) = beside(answer)
        assert wrong == field
        assert words in said, fields
        for each, typed in fields.items():
            if each != "kind":
                assert value(answer, each) == typed, (each, fields)
        assert any(href.startswith(way) for href, _ in answer.links), fields
        again = next(each for each in answer.forms if each.action == "/preview")
        assert dict(again.fields)["kind"] == fields["kind"]
    # Mended where it is, it goes on.
    first = reader.send(page.form("Show what it would do"), 400, who="bot1")
    assert "What it would do" in reader.send(first.form("Show what it would do"), who="bot1 bot2").text
    assert acts(policy) == []


def test_an_organisation_is_declared_from_a_page_with_all_that_the_command_takes(
    actor: Actor, reader: Reader, policy: Path
) -> None:
    """Hazard: a page that declares all payers, where a command names the accounts."""
    (name,) = actor.clusters(BOTS)
    page = reader.get(f"/actor?id={name:016x}")
    form = next(each for each in page.forms if ("kind", "organisation") in each.fields)
    asked = reader.send(
        form, name="Acme", payment="stolen1 stolen2", who="bot1 bot7", network="network=45.0.0.0/24"
    )
    assert re.search(r"requests from network .*, of \d+ accounts, are no evidence between", asked.text)
    reader.send(asked.form("Do it"))
    command = ["--payment", "stolen1", "--payment", "stolen2", "--account", "bot1", "--account", "bot7"]
    command += ["--network", "network=45.0.0.0/24"]
    assert run("act", "declare", "organisation", policy, "Acme", *command, "--yes").exit_code == 0
    ours, theirs = acts(policy)
    assert len(ours["networks"]) == 1
    for each in ("kind", "accounts", "payments", "networks", "name"):
        assert ours[each] == theirs[each]
    assert ours["accounts"] == [f"{key_of(actor, bot):016x}" for bot in ("bot1", "bot7")]


def test_a_search_that_finds_nobody_comes_back(plain: Path) -> None:
    with reading(plain) as reader:
        found = reader.find(f"hash:{'0' * 8}", 404)
        assert beside(found)[0][0] == "who"
        assert value(found, "who") == f"hash:{'0' * 8}"
        assert "eve" not in str(reader.send(found.form("Find both"), who="eve", beside="").url)
        empty = reader.find(" ", 400)
        assert beside(empty) == [("who", "nobody is named. Write an account, an address or a hash.")]


def test_what_was_agreed_to_comes_back_with_its_reason(plain: Path) -> None:
    with reading(plain) as reader:
        asking = reader.send(reader.find("eve").form("Stop"))
        for span, words in (("40d", "31d is the longest"), ("soon", "write it like")):
            wrong = reader.send(asking.form("Do it"), 400, **{"for": span, "reason": TYPED})
            ((field, said),) = beside(wrong)
            assert field == "for"
            assert words in said
            assert value(wrong, "for") == span
            assert "typed &amp; &lt;kept&gt;" in value(wrong, "reason")
            assert wrong.link("/person?who=")
        assert acts(plain) == []
        reader.send(wrong.form("Do it"), **{"for": "2h"})
        assert acts(plain)[0]["reason"] == TYPED


def test_a_form_of_a_page_that_was_open_for_too_long_comes_back(plain: Path) -> None:
    """Hazard: a session that ended between the page and its form. Of another site nothing comes back."""
    with reading(plain) as reader:
        form = reader.find("eve").form("Show what it would do").filled(numbers="requests=9", mark="0" * 64)
        for headers, comes_back in (({"sec-fetch-site": "same-origin"}, True), ({}, False)):
            answer = Page(reader.client.post("/preview", data=form, headers=headers))
            assert answer.status == 403
            assert "Nothing was done" in answer.text
            assert ("requests=9" in answer.html) is comes_back
        sent = Page(reader.client.post("/preview", data=form, headers={"sec-fetch-site": "same-origin"}))
        assert "What it would do" in reader.send(sent.form("Show what it would do")).text


def test_fields_of_all_forms_come_back(actor: Actor, reader: Reader) -> None:
    """Hazard: a field is added to a form, and forgotten where forms come back."""
    (name,) = actor.clusters(BOTS)
    forms = reader.get(f"/actor?id={name:016x}").forms + reader.find("bot7").forms
    names = {field for form in forms if form.action in ACTING for field, _ in form.fields}
    assert names - {"mark", "agreed"} <= set(FIELDS)


@pytest.mark.parametrize("token", ["", "another token of some"])
def test_a_wrong_token_is_said_beside_its_field(plain: Path, token: str) -> None:
    with reading(plain) as reader:
        reader.client.cookies.clear()
        page = Page(reader.client.post("/enter", data={"token": token}))
        assert page.status == 401
        assert ("That is not the token" in page.text) is bool(token)


def test_an_actor_that_is_stopped_twice_is_asked_about(actor: Actor, reader: Reader) -> None:
    """Hazard: a second stop of the same sixty accounts, without a word."""
    (name,) = actor.clusters(BOTS)
    address = f"/actor?id={name:016x}"
    first = reader.send(reader.get(address).form("Stop its accounts"))
    assert "Doubts" not in first.text
    reader.send(first.form("Do it"))
    again = reader.send(reader.get(address).form("Stop its accounts"))
    assert "are stopped already" in again.text
    assert "Do it all the same" in again.text
