cdef class DecisionFields:
    cdef readonly bint _allowed
    cdef readonly object _reason
    cdef readonly object _ledger
    cdef readonly object _cluster
    cdef readonly int _certainty
    cdef readonly object _wait_ns
    cdef readonly object _waited_ns
    cdef public object _verdicts
    cdef public object _binding


cdef extern from *:
    """
    /* What `kind.__new__(kind)` does where a class in Python has no `__new__` of its own. */
    static PyObject *kin_new(PyObject *kind, PyObject *nothing)
    {
        return ((PyTypeObject *)kind)->tp_new((PyTypeObject *)kind, nothing, NULL);
    }
    """
    DecisionFields new_fields "kin_new"(object kind, tuple nothing)
