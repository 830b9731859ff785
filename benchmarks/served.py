"""The application that `uvicorn benchmarks.served:app` serves: which, says an environment variable."""

from __future__ import annotations

import atexit
import os

from benchmarks.apps import APPS, BARE, QUOTA, WHICH
from benchmarks.scenarios import MOST_IN_A_WINDOW

_made = APPS[os.environ.get(WHICH, BARE)](int(os.environ.get(QUOTA, MOST_IN_A_WINDOW)))
atexit.register(_made.close)
app = _made.asgi
