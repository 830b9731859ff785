"""The conduct of accounts and clusters, as all workers of a host remember it."""

from typing import Any, final

CONDUCT_VERSION: int

def conduct_bytes() -> int:
    """Return the size of such memory."""

@final
class ConductMemory:
    """Records by key, over a writable buffer: a word of strikes, and what counts refusals.

    A zeroed buffer is formatted, a formatted one attached to after it was compared, as `InFlight`. Any bytes
    in it are survived. There is room for 16,384 keys. A new one takes the place of that of four which was
    silent longest; one that struck counts a day more. Key 0 is none.

    Args:
        memory: writable, C-contiguous, 64-byte aligned, at least `conduct_bytes()` large.
        boot_id: identifies the boot of this host; at most 64 bytes.
        fingerprint: 16 bytes that stand for the hash key.

    Raises:
        StoreError: codes `table-foreign`, `table-size`, `table-damaged`.
        ValueError: an argument of the wrong size.
    """

    def __init__(self, memory: Any, *, boot_id: bytes, fingerprint: bytes) -> None: ...
    @property
    def open(self) -> bool: ...
    @property
    def closed(self) -> bool: ...
    def damage(self) -> str | None:
        """Return what is wrong with the memory, of what can be told at a glance; None where nothing is."""
    def marked(self, key: int, /) -> bool:
        """Return whether anything is remembered that struck."""
    def word(self, key: int, /) -> int:
        """Return a key's word, 0 for none."""
    def swap(self, key: int, before: int, after: int, /) -> bool:
        """Put a word in the place of another; False where another one was there, or there was no room."""
    def cluster(self, key: int, /) -> int:
        """Return the cluster that a key was seen in last, 0 for none."""
    def set_cluster(self, key: int, cluster: int, /) -> None:
        """Remember it."""
    def refusals(self, key: int, /) -> tuple[int, int, int, int, int, int, int, int]:
        """Return the eight numbers of a key's `Persistence`, zeros for none."""
    def set_refusals(
        self,
        key: int,
        began_ns: int,
        refused: int,
        herd: int,
        second_ns: int,
        in_second: int,
        early: int,
        wait_s: int,
        before_s: int,
        /,
    ) -> None:
        """Remember them."""
    def ramp(self, key: int, /) -> int:
        """Return the word of an account's rise (`conduct.model.ramp`), 0 for none; 65,536 of them are kept."""
    def set_ramp(self, key: int, word: int, /) -> None:
        """Put a word in its place."""
    def steep_ns(self, key: int, now_ns: int, usual: int, /) -> int:
        """Return how long a request of an account is held back: see `conduct.model.ramp.delay_ns`."""
    def use(self, key: int, now_ns: int, /) -> None:
        """Count a request of an account; nothing for key 0."""
    def close(self) -> None:
        """Let go of the buffer; any later use raises ValueError."""
