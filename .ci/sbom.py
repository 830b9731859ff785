"""The bill of materials of a wheel, as CycloneDX 1.6: PEP 770 writes it into `.dist-info/sboms/`.

A wheel of ours carries its own modules and, compiled into them, the helper code of the Cython that
translated them. What it needs of an index is named too, as its metadata does: with ranges, since the
versions are chosen where it is installed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import uuid
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

NAME = "sboms/kinlimit.cdx.json"


def sbom(metadata: Message, cython: str, wheel: str) -> dict[str, Any]:
    """Return the bill of one wheel.

    Args:
        metadata: the wheel's METADATA.
        cython: the version whose helper code is compiled in.
        wheel: the file's name, which makes the serial number: one wheel has one, however often it is built.
    """
    name, version = canonicalize_name(metadata["Name"]), metadata["Version"]
    own = f"pkg:pypi/{name}@{version}"
    inside = {
        "type": "library",
        "bom-ref": f"pkg:pypi/cython@{cython}",
        "name": "cython",
        "version": cython,
        "purl": f"pkg:pypi/cython@{cython}",
        "description": "Helper code that the compiled modules carry.",
        "licenses": [{"license": {"id": "Apache-2.0"}}],
    }
    needed = []
    for line in metadata.get_all("Requires-Dist", []):
        requirement = Requirement(line)
        is_extra = requirement.marker is not None and "extra" in str(requirement.marker)
        purl = f"pkg:pypi/{canonicalize_name(requirement.name)}"
        found: dict[str, Any] = {
            "type": "library",
            "bom-ref": f"{purl}#{hashlib.sha256(line.encode()).hexdigest()[:8]}",
            "name": canonicalize_name(requirement.name),
            "purl": purl,
            "scope": "optional" if is_extra else "required",
            "properties": [{"name": "kinlimit:requirement", "value": line}],
        }
        needed.append(found)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, wheel)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "library",
                "bom-ref": own,
                "name": name,
                "version": version,
                "purl": own,
                "description": metadata["Summary"],
                "licenses": [{"license": {"id": metadata["License-Expression"]}}],
            }
        },
        "components": [inside, *needed],
        "dependencies": [
            {"ref": own, "dependsOn": [inside["bom-ref"], *(each["bom-ref"] for each in needed)]},
            *({"ref": each["bom-ref"]} for each in (inside, *needed)),
        ],
    }


def add(wheel: Path, cython: str) -> None:
    """Write the bill into a wheel, and both it and its digest into RECORD. Every entry keeps its time."""
    with zipfile.ZipFile(wheel) as archive:
        entries = [(entry, archive.read(entry)) for entry in archive.infolist()]
    folder = next(e.filename[:-7] for e, _ in entries if e.filename.endswith(".dist-info/RECORD"))
    metadata = next(content for entry, content in entries if entry.filename == f"{folder}/METADATA")
    bill = sbom(Parser().parsestr(metadata.decode()), cython, wheel.name)
    content = json.dumps(bill, indent=1, sort_keys=True).encode() + b"\n"
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    place = f"{folder}/{NAME}"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, old in entries:
            if entry.filename == place:
                continue
            if entry.filename == f"{folder}/RECORD":
                rows = [row for row in old.decode().splitlines() if not row.startswith(f"{place},")]
                rows.insert(-1, f"{place},sha256={digest},{len(content)}")
                made = zipfile.ZipInfo(place, entry.date_time)
                made.external_attr, made.compress_type = entry.external_attr, zipfile.ZIP_DEFLATED
                archive.writestr(made, content)
                old = "\n".join(rows).encode() + b"\n"
            archive.writestr(entry, old)


def constrained() -> str:
    """Return the version of Cython that released wheels are translated by."""
    lines = (Path(__file__).parent / "constraints.txt").read_text("utf-8").splitlines()
    (found,) = [line.removeprefix("cython==") for line in lines if line.startswith("cython==")]
    return found


if __name__ == "__main__":
    for wheel in sys.argv[1:]:
        add(Path(wheel), constrained())
