/* Python integers of up to 64 bits, read without a call where their layout is known.
 *
 * CPython 3.11 keeps 30-bit digits that a public macro-level struct shows; its
 * conversion functions loop over them and cost several times the decision's own
 * arithmetic when a request carries a handful of hashes. Other versions use the API.
 */
#ifndef KINLIMIT_NUMBER_H
#define KINLIMIT_NUMBER_H

#include <Python.h>
#include <stdint.h>

/* Return 0 and the value if `number` is an int from 0 to 2**64 - 1, 1 if it is
 * negative (the value is then its absolute value), 2 if it is too large, 3 if it is no int. */
static inline int kin_number(PyObject *number, uint64_t *value)
{
    *value = 0;
    if (!PyLong_Check(number))
        return 3;
#if PY_VERSION_HEX < 0x030C0000 && PYLONG_BITS_IN_DIGIT == 30
    const PyLongObject *digits = (const PyLongObject *)number;
    Py_ssize_t size = Py_SIZE(number);
    Py_ssize_t length = size < 0 ? -size : size;
    uint64_t sum = 0;
    if (length > 3 || (length == 3 && digits->ob_digit[2] > 15))
        return size < 0 ? 1 : 2;
    if (length > 0)
        sum = digits->ob_digit[0];
    if (length > 1)
        sum |= (uint64_t)digits->ob_digit[1] << 30;
    if (length > 2)
        sum |= (uint64_t)digits->ob_digit[2] << 60;
    *value = sum;
    return size < 0;
#else
    int overflow;
    long long small = PyLong_AsLongLongAndOverflow(number, &overflow);
    if (overflow == 0) {
        *value = small < 0 ? 0 - (uint64_t)small : (uint64_t)small;
        return small < 0;
    }
    if (overflow < 0) {
        *value = 0;
        return 1;
    }
    unsigned long long large = PyLong_AsUnsignedLongLong(number);
    if (large == (unsigned long long)-1 && PyErr_Occurred()) {
        PyErr_Clear();
        return 2;
    }
    *value = large;
    return 0;
#endif
}

#endif
