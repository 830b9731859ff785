"""From what requests share to who is one actor. Sans I/O: time is an argument.

settings.py     every number, with its default
judgement.py    is this group one actor, and how sure is that?
rebuild.py      the steps of a rebuild, each a slice short enough for an event loop
correlator.py   evidence in, clusters out
explanation.py  why there are the clusters there are
"""

from ratelimit.correlation.correlator import Correlator
from ratelimit.correlation.settings import Settings

__all__ = ["Correlator", "Settings"]
