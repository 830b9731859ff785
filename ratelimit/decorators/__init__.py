"""The first module that the distribution `ratelimit` imports of its own: it finds this one, and says why.

That happens where its `ratelimit/__init__.py` has overwritten ours. A folder is found before a file of
the same name, so this is found, whichever of the two was installed last.
"""

import ratelimit
from ratelimit.environment.neighbours import sentence

if not hasattr(ratelimit, "_HOMES"):
    raise ImportError(sentence())
