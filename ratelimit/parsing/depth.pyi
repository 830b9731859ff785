"""The depth of brackets in a JSON text, measured before it is parsed."""

def is_deeper(text: bytes, most: int) -> bool:
    """Return whether more than `most` brackets are open at once somewhere.

    Brackets within strings do not count. Exact for JSON, and for a text that breaks off. Takes one pass, up to
    the bracket that is too much.
    """
