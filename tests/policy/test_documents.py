"""Published documents of the policy file: they match the file's types."""

from __future__ import annotations

import json
import re
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from ratelimit.codes import every_code
from ratelimit.environment.diagnoses import DIAGNOSES, SUBJECTS
from ratelimit.errors import PolicyError
from ratelimit.policy import Policy
from ratelimit.policy.document import WITH_TABLES, errors_page, refreshed
from ratelimit.policy.schema import json_schema as schema

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
EXAMPLES = sorted((ROOT / "examples").glob("*/*.toml"))
BLOCKS = [
    block
    for name in ("docs/policy.md", "docs/identities.md", "docs/deployment.md", "docs/redis.md", "README.md")
    for block in re.findall(r"```toml\n(.*?)```", (ROOT / name).read_text("utf-8"), re.DOTALL)
]
AGAIN = "run: python -m ratelimit.policy.document docs"


def whole(block: str) -> str:
    return block if "version = 1" in block else "version = 1\n" + block


def test_errors_page_is_in_step_with_the_codes() -> None:
    assert (DOCS / "errors.md").read_text("utf-8") == errors_page(), AGAIN


def test_errors_page_says_what_a_diagnosis_is_about() -> None:
    """A sentence that names something has words for it in the reference, or ends with it."""
    shown = errors_page()
    assert "{about}" not in shown
    of = DIAGNOSES.items()
    gaps = [code for code, says in of if "{about}" in says and not says.endswith((": {about}", ". {about}"))]
    assert [code for code in gaps if code not in SUBJECTS] == []


def test_published_schema_is_in_step_with_the_types() -> None:
    assert (DOCS / "policy.schema.json").read_text("utf-8") == schema.render(), AGAIN


@pytest.mark.parametrize(("name", "tables"), [("policy.md", 10), ("correlation.md", 1)])
def test_tables_of_the_reference_are_in_step_with_the_types(name: str, tables: int) -> None:
    text = (DOCS / name).read_text("utf-8")
    assert text == refreshed(text), AGAIN
    assert text.count("<!-- table:") >= tables


def headings(path: Path) -> set[str]:
    text = path.read_text("utf-8")
    titles = re.findall(r"^#+ (.*)", text, re.M)
    made = {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}
    return made | set(re.findall(r'<a id="([^"]+)"', text))


@pytest.mark.parametrize("name", [*WITH_TABLES, "identities.md"])
def test_links_within_the_reference_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)]*)\)", (DOCS / name).read_text("utf-8")):
        file, _, heading = target.partition("#")
        if target.startswith("https:"):
            continue
        path = DOCS / (file or name)
        assert path.exists(), target
        assert not heading or heading in headings(path), target


def test_there_are_examples_to_check() -> None:
    assert len(EXAMPLES) >= 6
    assert len(BLOCKS) >= 7


@pytest.mark.parametrize("block", BLOCKS)
def test_examples_in_the_reference_load(block: str) -> None:
    policy = Policy.from_toml(whole(block))
    assert {warning.code for warning in policy.warnings} <= {"policy-empty", "identity-unused"}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_example_policies_load_without_a_warning(path: Path) -> None:
    policy = Policy.load(path)
    assert policy.warnings == ()
    assert path.read_text("utf-8").startswith("# ")


SCHEMA: dict[str, Any] = json.loads((DOCS / "policy.schema.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def validator() -> Any:
    """Return what judges documents; imported here, as that takes seconds wherever tests are collected."""
    return import_module("jsonschema").Draft202012Validator(SCHEMA)


def test_the_schema_is_one(validator: Any) -> None:
    type(validator).check_schema(SCHEMA)


@pytest.mark.parametrize("text", [*(path.read_text("utf-8") for path in EXAMPLES), *map(whole, BLOCKS)])
def test_the_schema_takes_what_the_loader_takes(text: str, validator: Any) -> None:
    validator.validate(tomllib.loads(text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "version = 2",
        "version = 1\nfrob = 1",
        'version = 1\n[[limit]]\nname = "l"\nrate = "1/second"',
        'version = 1\n[[limit]]\nname = "l"\nper = "ip"\nrate = 5',
        'version = 1\n[[limit]]\nname = "l"\nper = "ip"\nrate = "1/second"\nmode = "x"',
        'version = 1\n[[limit]]\nname = ""\nper = "ip"\nrate = "1/second"',
        'version = 1\n[[limit]]\nname = "l"\nper = "ip"\nrate = "1/second"\nburst = 0',
        'version = 1\n[[limit]]\nname = "l"\nper = "ip"\nrate = "1/second"\nmode = 1.5',
        "version = 1\n[identities]\nx = {}",
        "version = 1\n[store]\nkeys = 1",
    ],
)
def test_the_schema_refuses_what_the_loader_calls_misshapen(text: str, validator: Any) -> None:
    assert not validator.is_valid(tomllib.loads(text))
    with pytest.raises(PolicyError):
        Policy.from_toml(text)


def test_every_key_is_described() -> None:
    for name, table in SCHEMA["$defs"].items():
        assert table["description"], name
        for key, value in table["properties"].items():
            assert value["description"].endswith((".", "`")), (name, key)


def test_every_code_in_the_sources_is_in_the_table() -> None:
    pattern = re.compile(r'code="([a-z0-9-]+)"|report\.(?:add|unusable)\(\s*"([a-z0-9-]+)"')
    sources = [
        *(ROOT / "ratelimit").rglob("*.py"),
        *(ROOT / "ext").rglob("*.pyx"),
        *(ROOT / "ext").rglob("*.pxd"),
    ]
    used = {found[1] or found[2] for path in sources for found in pattern.finditer(path.read_text("utf-8"))}
    assert used - set(every_code()) == set()
    assert len(used) > 50


def test_codes_are_sentences() -> None:
    for code, entry in every_code().items():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", code)
        assert entry.meaning.endswith(".")
        assert entry.remedy.endswith(".")
        assert entry.severity in ("error", "warning")
