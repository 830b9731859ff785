"""Builds the compiled core. Everything else about the package is in pyproject.toml.

Sources lie under ext/ in folders that mirror the package, because Cython finds a
.pxd by module name. Environment switches, for development and CI:

    KINLIMIT_SANITIZE=1   address and undefined-behaviour sanitizers
    KINLIMIT_TRACE=1      line tracing, for coverage of .pyx files
    KINLIMIT_URL=https://…  the project's address, for its package page (`make dist PROJECT_URL=…`)
    KINLIMIT_PROGRESS=FILE  gets a line for each module that is compiled (`.ci/install.py` reads it)
    KINLIMIT_COMPILED=FOLDER  holds the modules of these sources, compiled before: they are copied

Both steps, translating and compiling, use all cores there are.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import platform
import re
import shutil
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
FORKS = sys.platform == "linux"
if FORKS:  # Where a process is started anew instead, it would run this file again.
    multiprocessing.set_start_method("fork", force=True)
SOURCES = HERE / "ext"
MODULES = tuple(
    ".".join(path.relative_to(SOURCES / "ratelimit").with_suffix("").parts)
    for path in sorted((SOURCES / "ratelimit").rglob("*.pyx"))
)

# -g1: a crash names its functions and lines; all that -g says takes a quarter of the compiler's time.
compile_args = ["-O3", "-g1", "-fno-strict-aliasing", "-Wno-unused-function", "-Wno-sign-compare"]
link_args: list[str] = []
if platform.machine() in {"x86_64", "AMD64"}:
    compile_args.append("-mcx16")
if sys.platform.startswith("linux"):
    # What an attacker builds on is checked or gone: the stack's return addresses, tables of
    # functions that can be written to, a stack that can be run. Linkers elsewhere know other words.
    compile_args += ["-fstack-protector-strong"]
    link_args += ["-Wl,-z,relro", "-Wl,-z,now", "-Wl,-z,noexecstack"]
    if not os.environ.get("KINLIMIT_SANITIZE"):  # which replaces the functions that this checks
        compile_args += ["-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2"]
if os.environ.get("KINLIMIT_SANITIZE"):
    flags = ["-fsanitize=address,undefined", "-fno-omit-frame-pointer", "-fno-sanitize-recover=undefined"]
    compile_args += ["-O0", *flags]
    link_args += flags
macros = [("CYTHON_TRACE_NOGIL", "1")] if os.environ.get("KINLIMIT_TRACE") else []
tracing = bool(macros)


def shapes_digest() -> int:
    """Return what identifies the structures that a snapshot of the correlation holds."""
    digest = hashlib.sha256()
    for name in ("records.pxd", "testimony.pxd", "cluster_index.pxd"):
        text = (SOURCES / "ratelimit" / "core" / "clusters" / name).read_text()
        # From the first declaration to the first function, without comments.
        lines = [line.partition("#")[0].rstrip() for line in text.splitlines()]
        start = lines.index("cdef enum:")
        stop = next(at for at, line in enumerate(lines) if line.startswith(("cdef inline", "cdef class")))
        digest.update("\n".join(filter(None, lines[start:stop])).encode())
    return int.from_bytes(digest.digest()[:7], "big")


# For the one module that says so: the others need not be compiled again.
shapes = [("KIN_SHAPES", f"{shapes_digest()}ull")]


def source_digest() -> str:
    """Return what identifies the core's sources; a test refuses binaries of other sources."""
    digest = hashlib.sha256()
    for path in sorted((SOURCES / "ratelimit").rglob("*")):
        if path.suffix in {".pyx", ".pxd", ".h"}:
            digest.update(path.relative_to(SOURCES).as_posix().encode() + b"\0")
            digest.update(path.read_bytes())
    return digest.hexdigest()


COMPILED = Path(os.environ["KINLIMIT_COMPILED"]) if os.environ.get("KINLIMIT_COMPILED") else None
DIGEST = Path("ratelimit") / "core" / "_digest.txt"
"""Where the digest of the sources lies, beside the modules compiled from them."""
if COMPILED is not None and (COMPILED / DIGEST).read_text().strip() != source_digest():
    raise SystemExit(f"{COMPILED} holds modules of other sources")


class BuildCore(build_ext):  # type: ignore[misc]  # setuptools has no types
    """Builds the extensions and leaves their sources' digest beside them."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel: int = self.parallel or CORES

    def build_extension(self, ext: Extension) -> None:
        if COMPILED is None:
            super().build_extension(ext)
        else:
            target = Path(self.get_ext_fullpath(ext.name))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(COMPILED / self.get_ext_filename(ext.name), target)
        if progress := os.environ.get("KINLIMIT_PROGRESS"):
            with Path(progress).open("a") as file:
                file.write(f"{ext.name}\n")

    def run(self) -> None:
        super().run()
        digest = (HERE if self.inplace else Path(self.build_lib)) / DIGEST
        digest.parent.mkdir(parents=True, exist_ok=True)
        digest.write_text(source_digest() + "\n")


STAND_IN = '''\
"""What `import ratelimit` finds where the package `ratelimit` has lost its first file: it says why."""

import os

__path__ = [os.path.splitext(__file__)[0]]

from ratelimit.environment.neighbours import sentence

raise ImportError(sentence())
'''


class BuildModules(build_py):  # type: ignore[misc]  # setuptools has no types
    """Builds the modules, and one beside the package that Python finds only if that has no first file."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            Path(self.build_lib, "ratelimit.py").write_text(STAND_IN)


extensions = [
    Extension(
        f"ratelimit.{name}",
        [f"ext/ratelimit/{name.replace('.', '/')}.pyx"],
        include_dirs=["ext"],
        extra_compile_args=compile_args,
        extra_link_args=link_args,
        define_macros=[*macros, *shapes] if name == "core.clusters.image" else macros,
    )
    for name in MODULES
]


def urls() -> dict[str, str]:
    """Return the project's addresses; none where the one who packs does not say where it lives."""
    address = os.environ.get("KINLIMIT_URL", "").rstrip("/")
    if not address:
        return {}
    if not address.startswith("https://"):
        raise SystemExit(f"KINLIMIT_URL must begin with https://, not be {address!r}")
    return {
        "Homepage": address,
        "Documentation": f"{address}/blob/main/docs/tutorial.md",
        "Changelog": f"{address}/blob/main/CHANGELOG.md",
        "Issues": f"{address}/issues",
        "Security": f"{address}/security",
    }


def package_page(address: str = "") -> str:
    """Return README for a package index: links are whole addresses, or plain words where none is known."""
    text = (HERE / "README.md").read_text("utf-8")
    relative = r"\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\((?!https?:)([^)\s]+)\)"
    if not address:
        return re.sub(relative, r"\1", re.sub(f"!{relative}\n*", "", text))
    text = re.sub(f"!{relative}", rf"![\1]({address}/raw/main/\2)", text)
    return re.sub(relative, rf"[\1]({address}/blob/main/\2)", text)


setup(
    project_urls=urls(),
    long_description=package_page(urls().get("Homepage", "")),
    long_description_content_type="text/markdown",
    cmdclass={"build_ext": BuildCore, "build_py": BuildModules},
    ext_modules=extensions
    if COMPILED is not None
    else cythonize(  # type: ignore[no-untyped-call]  # nor has Cython
        extensions,
        include_path=["ext"],
        build_dir="build/cython",
        nthreads=CORES if FORKS and CORES > 1 else 0,
        compiler_directives={
            "language_level": 3,
            "embedsignature": True,
            # Plain method descriptors instead of Cython's function objects: a call from Python
            # costs a third less. "clinic" is the form of signature that `inspect` reads then.
            "binding": False,
            "embedsignature.format": "clinic",
            "linetrace": tracing,
            # Divisions here are of unsigned integers by checked, non-zero numbers, where C's
            # and Python's meanings agree; the zero test would need the GIL inside leaves.
            "cdivision": True,
        },
        force="build_ext" in sys.argv and "--force" in sys.argv,
    ),
)
