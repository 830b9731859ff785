"""The bill of materials in a wheel: valid, recorded, and of the same bytes each time."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import zipfile
from email.message import Message
from pathlib import Path
from types import ModuleType

import pytest

METADATA = """\
Metadata-Version: 2.4
Name: kinlimit
Version: 0.1.0
Summary: Rate limiting
License-Expression: Apache-2.0
Requires-Dist: starlette>=0.40
Requires-Dist: click>=8.1
Requires-Dist: redis>=5.0.8; extra == "redis"
"""
INFO = "kinlimit-0.1.0.dist-info"
PLACE = f"{INFO}/sboms/kinlimit.cdx.json"

of_sbom = pytest.mark.parametrize("program", ["sbom"], indirect=True)


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "kinlimit-0.1.0-cp311-cp311-manylinux_2_17_x86_64.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ratelimit/__init__.py", "")
        archive.writestr(f"{INFO}/METADATA", METADATA)
        archive.writestr(f"{INFO}/RECORD", f"ratelimit/__init__.py,,0\n{INFO}/METADATA,,\n{INFO}/RECORD,,\n")
    return path


@of_sbom
def test_bill_is_cyclonedx_and_names_what_is_inside_and_what_is_needed(
    wheel: Path, program: ModuleType
) -> None:
    # It makes forty parsers as it is imported: three seconds for each process that collects tests.
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    program.add(wheel, "3.3.1")
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(PLACE).decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bill = json.loads(text)
    assert bill["metadata"]["component"]["purl"] == "pkg:pypi/kinlimit@0.1.0"
    assert {each["name"]: each.get("scope") for each in bill["components"]} == {
        "cython": None,
        "starlette": "required",
        "click": "required",
        "redis": "optional",
    }


@of_sbom
def test_record_has_the_digest_of_the_bill_once_however_often_it_is_added(
    wheel: Path, program: ModuleType
) -> None:
    program.add(wheel, "3.3.1")
    once = wheel.read_bytes()
    program.add(wheel, "3.3.1")
    assert wheel.read_bytes() == once
    with zipfile.ZipFile(wheel) as archive:
        assert len(archive.namelist()) == len(set(archive.namelist())) == 4
        content = archive.read(PLACE)
        rows = list(csv.reader(io.StringIO(archive.read(f"{INFO}/RECORD").decode())))
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    assert [row for row in rows if row[0] == PLACE] == [[PLACE, f"sha256={digest}", str(len(content))]]
    assert rows[-1][0] == f"{INFO}/RECORD"


@of_sbom
def test_each_wheel_has_a_serial_number_of_its_own(program: ModuleType) -> None:
    metadata = Message()
    for line in METADATA.splitlines():
        name, _, value = line.partition(": ")
        metadata[name] = value
    one, other, again = (
        program.sbom(metadata, "3.3.1", name)["serialNumber"] for name in ("a.whl", "b.whl", "a.whl")
    )
    assert one == again != other
