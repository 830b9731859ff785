"""Another distribution in the folder of this one's package: it is named at the import and by `doctor`."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MEND = "pip uninstall --yes {} kinlimit && pip install kinlimit"
THEIRS = {
    "ratelimit": {
        "__init__.py": "from ratelimit.decorators import RateLimitDecorator\nlimits = RateLimitDecorator\n",
        "decorators.py": "class RateLimitDecorator: ...\n",
    },
    "asgi-ratelimit": {
        "__init__.py": "from .core import RateLimitMiddleware\nfrom .rule import Rule\n",
        "core.py": "class RateLimitMiddleware: ...\n",
        "rule.py": "class Rule: ...\n",
    },
}


def put(site: Path, name: str, files: list[str]) -> None:
    """Write what pip leaves of a distribution."""
    place = site / f"{name.replace('-', '_')}-1.0.dist-info"
    place.mkdir()
    (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (place / "RECORD").write_text("".join(f"{file},,\n" for file in files))


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Return a folder of packages with ours in it, as pip installs it, without its first file."""
    site = tmp_path / "site"
    (site / "ratelimit").mkdir(parents=True)
    for each in (ROOT / "ratelimit").iterdir():
        if each.name not in ("__init__.py", "__pycache__"):
            (site / "ratelimit" / each.name).symlink_to(each)
    (site / "kinlimit.py").symlink_to(ROOT / "kinlimit.py")
    put(site, "kinlimit", ["ratelimit/__init__.py", "ratelimit.py", "kinlimit.py"])
    (site / "ratelimit.py").write_text(stand_in())
    return site


def stand_in() -> str:
    """Return the module that the build puts beside the package."""
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "STAND_IN":
            return str(ast.literal_eval(node.value))
    raise AssertionError("setup.py has no such text")


def python(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-P", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=site, env=environment, timeout=120, check=False
    )


@pytest.mark.parametrize("name", THEIRS)
def test_package_that_another_distribution_overwrote_says_so_at_its_import(site: Path, name: str) -> None:
    for file, text in THEIRS[name].items():
        (site / "ratelimit" / file).unlink(missing_ok=True)
        (site / "ratelimit" / file).write_text(text)
    put(site, name, [f"ratelimit/{file}" for file in THEIRS[name]])
    for line in (
        "import ratelimit",
        "from ratelimit import Limiter",
        "import ratelimit.integrations.fastapi",
    ):
        ended = python(site, "-c", line)
        assert ended.returncode == 1
        last = ended.stderr.splitlines()[-1]
        assert last.startswith(f"ImportError: `{name}` and `kinlimit` are installed in one folder")
        assert last.endswith(MEND.format(name))
    for command in ("doctor", "check"):
        ended = python(site, "-m", "kinlimit", command, "policy.toml")
        assert ended.returncode == 1
        assert ended.stderr.startswith(f"error: `{name}` and `kinlimit` ")
        assert "Traceback" not in ended.stderr


def test_package_without_its_first_file_says_so_at_its_import(site: Path) -> None:
    """Hazard: pip uninstalls the other distribution, and takes the file that both had."""
    for line in ("from ratelimit import Limiter", "import ratelimit.limiter"):
        ended = python(site, "-c", line)
        assert ended.returncode == 1
        last = ended.stderr.splitlines()[-1]
        assert last.startswith("ImportError: `ratelimit/__init__.py` of `kinlimit` is gone")
        assert last.endswith("pip uninstall --yes kinlimit && pip install kinlimit")
    ended = python(site, "-m", "kinlimit", "doctor", "policy.toml")
    assert (ended.returncode, "Traceback" in ended.stderr) == (1, False)
    assert "is gone" in ended.stderr


def test_doctor_of_a_package_without_its_first_file_does_not_crash(site: Path) -> None:
    (site / "ratelimit.py").unlink()
    (site / "policy.toml").write_text("version = 1\n")
    ended = python(site, "-m", "ratelimit.cli.main", "doctor", "policy.toml")
    assert "Traceback" not in ended.stderr, ended.stderr
    assert ended.returncode == 1
    assert "is gone" in ended.stdout
    assert "pip install kinlimit" in ended.stdout


def test_whole_package_is_imported_beside_its_stand_in(site: Path) -> None:
    (site / "ratelimit" / "__init__.py").symlink_to(ROOT / "ratelimit" / "__init__.py")
    ended = python(site, "-c", "import ratelimit; print(ratelimit.Limiter.__name__)")
    assert (ended.returncode, ended.stdout) == (0, "Limiter\n")
    ended = python(site, "-m", "kinlimit", "--version")
    assert ended.returncode == 0, ended.stderr
