/* Attributes that the interpreter reads straight out of the object.
 *
 * Cython makes a property of a read-only attribute: a look-up and a call. CPython reads a
 * member of kind T_OBJECT_EX as it reads a slot of a Python class, after the first time
 * without looking it up at all, at a tenth of the price. */
#ifndef KINLIMIT_MEMBER_H
#define KINLIMIT_MEMBER_H

#include <Python.h>
#include <structmember.h>

/* Make the pointer at `offset` of a type's objects its read-only attribute `name`, for ever.
 * Return 0, or -1 with an exception. To be called before anybody has seen the type. */
static inline int kin_add_member(PyObject *type, const char *name, Py_ssize_t offset, const char *doc)
{
    PyMemberDef *member = PyMem_Calloc(1, sizeof(PyMemberDef)); /* the descriptor refers to it: never freed */
    PyObject *descriptor;
    int failed;
    if (member == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    member->name = name;
    member->type = T_OBJECT_EX;
    member->offset = offset;
    member->flags = READONLY;
    member->doc = doc;
    descriptor = PyDescr_NewMember((PyTypeObject *)type, member);
    if (descriptor == NULL)
        return -1;
    failed = PyDict_SetItemString(((PyTypeObject *)type)->tp_dict, name, descriptor);
    Py_DECREF(descriptor);
    PyType_Modified((PyTypeObject *)type);
    return failed;
}

#endif
