"""The depth of brackets in a JSON text: see the stub for the contract."""

cdef bint _is_deeper(const unsigned char *at, Py_ssize_t size, Py_ssize_t most) noexcept nogil:
    cdef const unsigned char *end = at + size
    cdef Py_ssize_t open = 0
    cdef bint in_text = False
    cdef unsigned char one
    while at < end:
        one = at[0]
        at += 1
        if in_text:
            if one == b"\\":
                at += 1  # may step past the end, which the loop's condition takes
            elif one == b'"' or one == b"\n":  # no string of JSON goes over the end of a line
                in_text = False
        elif one == b'"':
            in_text = True
        elif one == b"[" or one == b"{":
            open += 1
            if open > most:
                return True
        elif one == b"]" or one == b"}":
            open -= 1
    return False


def is_deeper(bytes text not None, Py_ssize_t most):
    return _is_deeper(text, len(text), most)
