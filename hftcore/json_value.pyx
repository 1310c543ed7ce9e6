"""Whether a value is JSON as it stands: what a fast encoder may be given, whose ideas of other types are its own.

Nothing is kept. Thread safety: any thread, with the GIL.
"""

from cpython.dict cimport PyDict_Next
from cpython.float cimport PyFloat_AS_DOUBLE
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.math cimport isfinite


cdef extern from "Python.h":
    long long PyLong_AsLongLongAndOverflow(object number, int* overflow) except? -1


cdef bint plain(object value, Py_ssize_t room) except -1:
    cdef type kind = type(value)
    cdef PyObject* key
    cdef PyObject* item
    cdef Py_ssize_t at = 0
    cdef int overflow = 0
    if kind is str or value is None or kind is bool:
        return True
    if kind is float:
        return isfinite(PyFloat_AS_DOUBLE(value))
    if kind is int:
        PyLong_AsLongLongAndOverflow(value, &overflow)
        return overflow == 0
    if room <= 0:
        return False
    # Nothing below runs Python code, so that no container can change meanwhile.
    if kind is dict:
        while PyDict_Next(value, &at, &key, &item):
            if type(<object>key) is not str or not plain(<object>item, room - 1):
                return False
        return True
    if kind is list:
        for at in range(PyList_GET_SIZE(value)):
            if not plain(<object>PyList_GET_ITEM(value, at), room - 1):
                return False
        return True
    if kind is tuple:
        for at in range(PyTuple_GET_SIZE(value)):
            if not plain(<object>PyTuple_GET_ITEM(value, at), room - 1):
                return False
        return True
    return False


def is_plain(value, Py_ssize_t depth):
    """Whether a value is of None, bool, str, finite float, int of 64 bits, list, tuple and dict with str keys alone.

    Subclasses are not: they may be encoded differently.

    Parameters
    ----------
    value
        Any object; one that refers to itself is not plain.
    depth
        How many containers may stand in one another.
    """
    return plain(value, depth)
