"""The extras of the distribution and the packages they install, from its own metadata."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, requires


def requirement(name: str) -> str:
    """Return an optional package with the versions that will do, as `pip install` takes it.

    Only its name where this runs without being installed.
    """
    try:
        listed = requires("kinlimit") or ()
    except PackageNotFoundError:
        return name
    wanted = (line.partition(";")[0].strip() for line in listed)
    return next((each for each in wanted if re.split(r"[^\w.-]", each)[0] == name), name)


def how_to_install(name: str) -> str:
    """Return the command that installs an optional package, from anywhere."""
    return f"pip install '{requirement(name)}'"


def explained(error: ModuleNotFoundError, **packages: str) -> ModuleNotFoundError:
    """Return an error that says how to install what is missing, or the error itself.

    Args:
        error: raised by the import of a part that needs an optional package.
        packages: by the name that is imported, the package that has it.
    """
    module = (error.name or "").partition(".")[0]
    if module not in packages:
        return error
    words = f"this needs {module}: {how_to_install(packages[module])}"
    return ModuleNotFoundError(words, name=error.name)
