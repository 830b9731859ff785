"""The name of a class that is shed, on a person's page as in commands."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ratelimit.console.rendering import TEMPLATES
from ratelimit.load.compile import ALL, DEFAULT_GROUP
from ratelimit.load.shed import named


def test_what_is_shed_has_the_name_of_its_class_as_in_commands() -> None:
    """Hazard: the one class of a policy is `all` in commands, and on a page `default`, which is its limit."""
    assert TEMPLATES.loader is not None
    source, _, _ = TEMPLATES.loader.get_source(TEMPLATES, "person_live.jinja")
    row = next(line for line in source.splitlines() if line.startswith('<tr><th scope="row">shed'))
    shed: Any = SimpleNamespace(group=DEFAULT_GROUP, class_=ALL, total=3, why="at random", last_ns=0)
    page = TEMPLATES.from_string(row).render(each=shed, host="web-1")
    assert f"shed: {named(DEFAULT_GROUP, ALL)}" in page
    assert DEFAULT_GROUP not in page
