"""Files of descriptors: what is refused, with its place; what is odd, and read all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from ratelimit.errors import PolicyError, Problem
from ratelimit.serving.domains.loading import load_domains
from ratelimit.serving.domains.model import Domains

ONE = "domain: d\ndescriptors:\n- key: a\n"


def problems_of(path: Path, *, merges: bool = False) -> list[Problem]:
    with pytest.raises(PolicyError) as caught:
        load_domains(str(path), merges=merges)
    return [each for each in caught.value.problems if each.severity == "error"]


def loaded(tmp_path: Path, text: str) -> tuple[Domains, list[Problem]]:
    place = tmp_path / "r.yaml"
    place.write_text(text)
    return load_domains(str(place))


@pytest.mark.parametrize(
    ("text", "line", "code", "says"),
    [
        ("descriptors:\n", 1, "descriptors-invalid", "no domain"),
        ("domain: ''\n", 1, "descriptors-invalid", "no domain"),
        ("", None, "descriptors-invalid", "no domain"),
        ("- a\n", 1, "descriptors-invalid", "mapping"),
        ("'''\n", 2, "descriptors-syntax", "YAML"),
        ("domain: d\ndescriptors:\n- value: v\n", 3, "descriptors-invalid", "no key"),
        (f"{ONE}  value: v\n- key: a\n  value: v\n", 5, "descriptors-invalid", "'d.a_v' is there twice"),
        (f"{ONE}- key: a\n", 4, "descriptors-invalid", "'d.a' is there twice"),
        (
            f"{ONE}  rate_limit: {{unit: foo, requests_per_unit: 5}}\n",
            4,
            "descriptors-invalid",
            "no unit 'foo'",
        ),
        (f"{ONE}  rate_limit: {{requests_per_unit: 5}}\n", 4, "descriptors-invalid", "no unit ''"),
        (f"{ONE}  rate_limit: {{}}\n", 4, "descriptors-invalid", "no unit ''"),
        (f"{ONE}  rate_limit: {{unit: unknown}}\n", 4, "descriptors-invalid", "no unit 'unknown'"),
        (f"{ONE}  ratelimit: {{unit: day}}\n", 4, "descriptors-invalid", "no key 'ratelimit'"),
        (
            f"{ONE}  rate_limit: {{unit: day, requestsperunit: 5}}\n",
            4,
            "descriptors-invalid",
            "'requestsperunit'",
        ),
        ("0.25: d\ndescriptors:\n- key: a\n", 1, "descriptors-invalid", "no text: 0.25"),
        ("domain: d\ndescriptors:\n- a\n- b\n", 3, "descriptors-invalid", "mappings"),
        ("domain: d\ndescriptors: a\n", 2, "descriptors-invalid", "list"),
        (f"{ONE}  rate_limit: {{unlimited: true, unit: day}}\n", 4, "descriptors-invalid", "unlimited"),
        (
            f"{ONE}  rate_limit: {{name: n, replaces: [{{name: n}}], unit: day}}\n",
            4,
            "descriptors-invalid",
            "replaces itself",
        ),
        (
            f"{ONE}  rate_limit: {{name: n, replaces: [{{name: }}], unit: day}}\n",
            4,
            "descriptors-invalid",
            "has no name",
        ),
        (f"{ONE}  share_threshold: true\n", 4, "descriptors-invalid", "share a threshold"),
        (f"{ONE}  shadow_mode: 3\n", 4, "descriptors-invalid", "true or false"),
        (f"{ONE}  metadata: [1]\n", 4, "descriptors-invalid", "mapping"),
        (
            f"{ONE}  rate_limit: {{unit: day, requests_per_unit: -1}}\n",
            4,
            "descriptors-invalid",
            "4294967295",
        ),
        (
            f"{ONE}  rate_limit: {{unit: day, requests_per_unit: 4294967296}}\n",
            4,
            "descriptors-invalid",
            "whole",
        ),
        (f"{ONE}  rate_limit: {{unit: day, requests_per_unit: many}}\n", 4, "descriptors-invalid", "whole"),
        (f"{ONE}  key: b\n", 4, "descriptors-syntax", "twice"),
        ("domain: d\ndescriptors: " + "[" * 2_000, 2, "descriptors-syntax", "nest"),
        ("a: &a [1]\nb: &b [*a, *a]\nc: [*b, *b, *z]\n", 3, "descriptors-syntax", "YAML"),
    ],
)
def test_bad_file_is_refused_with_its_line(
    tmp_path: Path, text: str, line: int | None, code: str, says: str
) -> None:
    place = tmp_path / "r.yaml"
    place.write_text(text)
    found = problems_of(place)
    assert any(each.code == code and says in each.message for each in found), found
    assert line is None or any(each.line == line or f"line {line}:" in each.message for each in found), found
    assert all(each.file == str(place) for each in found)


def test_all_problems_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("domain: d\ndescriptors:\n- value: v\n- key: k\n  unknown: 1\n")
    (tmp_path / "b.yml").write_text("domain: d\n")
    (tmp_path / "notes.txt").write_text("{")
    (tmp_path / ".hidden.yaml").write_text("{")
    found = problems_of(tmp_path)
    assert [(Path(each.file).name, each.line) for each in found] == [
        ("a.yaml", 5),
        ("a.yaml", 3),
        ("b.yml", 1),
    ]


def test_one_domain_in_two_files_is_refused_unless_they_are_merged(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(ONE)
    (tmp_path / "b.yaml").write_text("domain: d\ndescriptors:\n- key: b\n  rate_limit: {unit: day}\n")
    (told,) = problems_of(tmp_path)
    assert "'d' already" in told.message
    domains, _ = load_domains(str(tmp_path), merges=True)
    assert domains.find("d", [("b", "x")]) is not None
    (tmp_path / "b.yaml").write_text(ONE)
    (told,) = problems_of(tmp_path, merges=True)
    assert "'d.a' is there twice" in told.message


@pytest.mark.parametrize("name", ["none.yaml", "empty"])
def test_place_without_files_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (told,) = problems_of(tmp_path / name)
    assert told.code == "descriptors-unreadable"


def test_bomb_of_aliases_is_refused_in_no_time(tmp_path: Path) -> None:
    lines = ["a0: &a0 {key: k}"]
    lines += [f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 9)}]" for at in range(1, 12)]
    place = tmp_path / "r.yaml"
    place.write_text("\n".join(lines))
    (told,) = problems_of(place)
    assert "with its aliases" in told.message
    place.write_text("a: &a\n- *a\n")
    assert problems_of(place)[0].code == "descriptors-syntax"


def test_anchors_and_merge_keys_are_read(tmp_path: Path) -> None:
    text = (
        "domain: d\ndescriptors:\n- key: a\n  rate_limit: &five {unit: day, requests_per_unit: 5}\n"
        "- key: b\n  rate_limit: *five\n- key: c\n  rate_limit:\n    <<: *five\n    requests_per_unit: 7\n"
    )
    domains, warnings = loaded(tmp_path, text)
    assert not warnings
    found = [domains.find("d", [(key, "x")]) for key in "abc"]
    assert [None if each is None else each.limit.requests for each in found] == [5, 5, 7]


def test_scalars_are_read_as_the_service_reads_them(tmp_path: Path) -> None:
    text = (
        "domain: 5\ndescriptors:\n- key: 1\n  value: 0x10\n  shadow_mode: yes\n"
        "  rate_limit: {unit: MiNuTe, requests_per_unit: 1_000}\n- key: b\n  value: ~\n  rate_limit: ~\n"
        "- key: c\n  value: true\n  rate_limit: {unlimited: on}\n- key: d\n  rate_limit: {unit: day}\n"
    )
    domains, _ = loaded(tmp_path, text)
    found = domains.find("5", [("1", "0x10")])
    assert found is not None
    assert (found.limit.requests, found.limit.unit, found.limit.is_shadow) == (1_000, 2, True)
    assert domains.find("5", [("b", "x")]) is None
    unlimited, none = domains.find("5", [("c", "true")]), domains.find("5", [("d", "x")])
    assert unlimited is not None
    assert unlimited.limit.is_unlimited
    assert none is not None
    assert none.limit.requests == 0


def test_key_without_a_meaning_where_it_stands_is_said(tmp_path: Path) -> None:
    """Hazard: `shadow_mode` in `rate_limit` looks like a soft launch, and refuses."""
    text = f"{ONE}  rate_limit:\n    unit: day\n    shadow_mode: true\n---\ndomain: e\n"
    domains, warnings = loaded(tmp_path, text)
    assert [(each.code, each.line) for each in warnings] == [
        ("descriptors-ignored", 8),
        ("descriptors-ignored", 6),
    ]
    assert "e" not in domains
    found = domains.find("d", [("a", "x")])
    assert found is not None
    assert not found.limit.is_shadow


def test_keys_that_a_value_can_cross_are_said(tmp_path: Path) -> None:
    text = "domain: d\ndescriptors:\n- key: user\n- key: user_id\n  rate_limit: {unit: day}\n- key: users\n"
    domains, (told,) = loaded(tmp_path, text)
    assert (told.code, told.severity) == ("descriptors-ambiguous", "warning")
    found = domains.find("d", [("user", "id")])
    assert found is not None
    assert found.series == "d.user_id"


def test_example_of_the_page_is_a_file_without_a_complaint() -> None:
    root = Path(__file__).parents[3]
    example = root / "examples" / "envoy" / "ratelimit.yaml"
    assert f"```yaml\n{example.read_text()}```\n" in (root / "docs" / "serve.md").read_text()
    domains, warnings = load_domains(str(example))
    assert not warnings
    for entries in (
        [("remote_address", "192.0.2.66")],
        [("account", "a")],
        [("account", "a"), ("path", "/bulk/x")],
        [("partner", "yes-sir")],
        [("internal", "x")],
    ):
        assert domains.find("edge", entries) is not None
