"""Correlation: from what requests share to the accounts of one actor. Sans I/O: time is an argument.

settings.py     every number, with its default
classification.py    is this group one actor, and how sure is that?
rebuild.py      the steps of a rebuild, each a slice short enough for an event loop
enforcement.py  what the operator says, put into force
words.py        what was found of a group, as sentences
explanation.py  why a principal is in its cluster
correlator.py   evidence in, clusters out
overview.py     what clusters there are, and what binds each as a whole
"""

from ratelimit.correlation.classification import Verdict
from ratelimit.correlation.correlator import Correlator
from ratelimit.correlation.explanation import Explanation
from ratelimit.correlation.settings import Settings

__all__ = ["Correlator", "Explanation", "Settings", "Verdict"]
