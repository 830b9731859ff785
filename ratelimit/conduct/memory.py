"""The memory of conduct, beside a store's own and by the same rules: what struck is forgotten with it."""

from __future__ import annotations

from ratelimit.core.sharing.conduct import CONDUCT_VERSION, ConductMemory, conduct_bytes
from ratelimit.stores.embedded.companion import Companion, Form
from ratelimit.stores.embedded.process import boot_id

SharedConduct = Companion[ConductMemory]
"""The record of conduct, and the memory that it is in."""


def conduct_form() -> Form[ConductMemory]:
    """Return its form: of one boot."""
    return Form(
        "conduct",
        b"%d " % CONDUCT_VERSION + boot_id(),
        conduct_bytes(),
        lambda memory, fingerprint: ConductMemory(memory, boot_id=boot_id(), fingerprint=fingerprint),
    )
