"""The `ratelimit` command of the distribution `kinlimit`.

It stands beside the package `ratelimit`, since another distribution may have put its own files into that.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command; say in a sentence what is wrong where the package is not whole."""
    try:
        from ratelimit.cli.main import main as run
    except ImportError as error:
        if "kinlimit" not in str(error):
            raise
        sys.exit(f"error: {error}")
    run()


if __name__ == "__main__":
    main()
