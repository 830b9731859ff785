"""Where members who pay differently meet, and what that says of each payment method."""

from ratelimit.core.census import Census

class Support(Census):
    """Finds meetings, and who vouches for which payment method. Every pass walks a range."""

    def bridge(self, start: int, stop: int) -> None: ...
    def support(self, start: int, stop: int) -> None: ...
