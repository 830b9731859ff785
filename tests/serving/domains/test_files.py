"""Files of descriptors that change while they are in force."""

from __future__ import annotations

from pathlib import Path

import pytest

from ratelimit.serving.domains.files import DomainFiles
from ratelimit.serving.domains.statistics import Statistics


def text_of(requests: int, domain: str = "d") -> str:
    limit = f"{{unit: day, requests_per_unit: {requests}}}"
    return f"domain: {domain}\ndescriptors:\n- key: a\n  rate_limit: {limit}\n"


def requests_of(files: DomainFiles, domain: str = "d") -> int | None:
    found = files.current().find(domain, [("a", "x")])
    return None if found is None else found.limit.requests


def test_changed_file_is_in_force_and_a_bad_one_leaves_the_old(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place, statistics = tmp_path / "r.yaml", Statistics()
    place.write_text(text_of(5))
    files = DomainFiles(str(place), statistics=statistics)
    assert (files.look(), requests_of(files)) == (False, 5)
    place.write_text(text_of(50))
    assert (files.look(), requests_of(files)) == (True, 50)
    place.write_text(text_of(500).replace("unit: day", "unit: foo"))
    assert (files.look(), requests_of(files)) == (False, 50)
    assert f"{place}:4" in caplog.text
    place.unlink()
    assert (files.look(), requests_of(files)) == (False, 50)
    # It is said once, and not at each look.
    assert caplog.text.count("those before stay") == 2
    assert not files.look()
    place.write_text(text_of(6))
    assert (files.look(), requests_of(files)) == (True, 6)
    text = statistics.text().decode()
    assert "ratelimit_service_config_load_success 3\n" in text
    assert "ratelimit_service_config_load_error 2\n" in text


def test_folder_of_a_config_map_is_seen_when_its_link_is_swapped(tmp_path: Path) -> None:
    """Hazard: Kubernetes swaps a link to a folder, and no file in it is ever written."""
    for number in (1, 2):
        (tmp_path / f"..{number}").mkdir()
        (tmp_path / f"..{number}" / "r.yaml").write_text(text_of(number))
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "r.yaml").symlink_to("..data/r.yaml")
    files = DomainFiles(str(tmp_path))
    assert requests_of(files) == 1
    (tmp_path / "..new").symlink_to("..2")
    (tmp_path / "..new").replace(tmp_path / "..data")
    assert (files.look(), requests_of(files)) == (True, 2)
    (tmp_path / "more.yaml").write_text(text_of(3, "e"))
    assert (files.look(), requests_of(files, "e")) == (True, 3)
    (tmp_path / "more.yaml").unlink()
    assert (files.look(), requests_of(files, "e"), requests_of(files)) == (True, None, 2)
