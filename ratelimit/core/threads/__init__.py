"""How this library's threads live beside an event loop that is busy."""
