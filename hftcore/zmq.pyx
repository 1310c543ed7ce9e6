"""NativeSocket: sends and receives on a pyzmq socket by libzmq's own calls.

pyzmq's wheels carry libzmq inside their own extension; its calls are found there by address, and go to the socket
that pyzmq made (`Socket.underlying`). Both may be used side by side, by one thread at a time. Where the calls are not
to be found (pyzmq's cffi backend, a build of another shape) a warning says so once, and pyzmq's own calls are used.

Nothing here waits. Frames of `ZERO_COPY_BYTES` and more are not copied: libzmq keeps the `bytes` object, and it is let
go of by whoever sends the next large frame after libzmq is done with it, or by `release_sent()`.

Source: the manual pages of libzmq 4.3 (zmq_send, zmq_msg_init_data, zmq_msg_recv).
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.errno cimport EAGAIN, EINTR, ENOTSOCK
from libc.stdint cimport uintptr_t

import ctypes
import logging
import types

import zmq


cdef extern from "Python.h":
    ctypedef PyObject* (*getter)(PyObject* instance, void* closure)
    ctypedef struct PyGetSetDef:
        getter get
        void* closure
    ctypedef struct PyGetSetDescrObject:
        PyGetSetDef* d_getset
    PyObject* Py_True

ZERO_COPY_BYTES = 512
"""From this size on, libzmq keeps the `bytes` object instead of a copy."""

cdef enum:
    ZERO_COPY = 512
    DONTWAIT = 1

assert ZERO_COPY == ZERO_COPY_BYTES and DONTWAIT == zmq.DONTWAIT

_logger = logging.getLogger(__name__)

cdef ZmqApi API
cdef bint _loaded = False
cdef tuple NAMES = (
    "zmq_send", "zmq_msg_init", "zmq_msg_init_data", "zmq_msg_recv", "zmq_msg_send", "zmq_msg_close", "zmq_msg_data",
    "zmq_msg_size", "zmq_errno",
)


def load(path=None):
    """Find libzmq's calls; done at import, with the extension of pyzmq's backend.

    Parameters
    ----------
    path
        The shared library to look in; None for pyzmq's own.

    Returns
    -------
    bool
        Whether they were found. If not, a warning was logged, and sockets made from now on use pyzmq's calls.
    """
    global _loaded
    _loaded = False
    try:
        if path is None:
            from zmq.backend.cython import _zmq

            path = _zmq.__file__
        library = ctypes.CDLL(path)
        found = [ctypes.cast(getattr(library, name), ctypes.c_void_p).value for name in NAMES]
        if zmq.zmq_version_info() < (4, 1):
            raise OSError(f"libzmq must be at least 4.1, was {zmq.zmq_version()}")
        if type(getattr(zmq.Socket, "_closed", None)) is not types.GetSetDescriptorType:
            raise AttributeError("zmq.Socket._closed")
    except (ImportError, OSError, AttributeError) as error:
        _logger.warning("libzmq's calls were not found in pyzmq (%s): sends and receives are slower", error)
        return False
    API.send = <int (*)(void*, const void*, size_t, int) noexcept nogil><void*><uintptr_t>found[0]
    API.msg_init = <int (*)(ZmqMessage*) noexcept nogil><void*><uintptr_t>found[1]
    API.msg_init_data = <int (*)(
        ZmqMessage*, void*, size_t, void (*)(void*, void*) noexcept nogil, void*) noexcept nogil><void*><uintptr_t>found[2]
    API.msg_recv = <int (*)(ZmqMessage*, void*, int) noexcept nogil><void*><uintptr_t>found[3]
    API.msg_send = <int (*)(ZmqMessage*, void*, int) noexcept nogil><void*><uintptr_t>found[4]
    API.msg_close = <int (*)(ZmqMessage*) noexcept nogil><void*><uintptr_t>found[5]
    API.msg_data = <void* (*)(ZmqMessage*) noexcept nogil><void*><uintptr_t>found[6]
    API.msg_size = <size_t (*)(const ZmqMessage*) noexcept nogil><void*><uintptr_t>found[7]
    API.error_number = <int (*)() noexcept nogil><void*><uintptr_t>found[8]
    _loaded = True
    return True


load()


def release_sent():
    """Let go of the large frames that libzmq is done with; returns how many they were."""
    cdef ReleaseEntry* done = ReleaseList.take_all()
    cdef Py_ssize_t count = 0
    while done != NULL:
        Py_DECREF(<object>done.object)
        done = ReleaseList.drop(done)
        count += 1
    return count


@cython.final
cdef class NativeSocket:
    """Sends and receives single-part frames on a pyzmq socket, without waiting.

    Parameters
    ----------
    socket
        A `zmq.Socket`; this object keeps it alive, and never closes it.

    Raises
    ------
    TypeError
        If it is no `zmq.Socket`.
    zmq.ZMQError
        If it is closed.

    Notes
    -----
    Thread safety: one thread at a time, and the same for the socket itself.
    """

    def __cinit__(self, socket):
        cdef PyGetSetDescrObject* descriptor
        if not isinstance(socket, zmq.Socket):
            raise TypeError(f"socket must be a zmq.Socket, was {socket!r}")
        if socket.closed:
            raise zmq.ZMQError(ENOTSOCK)
        self.socket = socket
        if _loaded:
            closed = zmq.Socket._closed
            descriptor = <PyGetSetDescrObject*><PyObject*>closed
            self._closed_getter = <void*>descriptor.d_getset.get
            self._closed_closure = descriptor.d_getset.closure
            API.msg_init(&self._message)
            self._handle = <void*><uintptr_t>socket.underlying

    def __dealloc__(self):
        if self._handle != NULL:
            API.msg_close(&self._message)

    cdef bint closed_c(self) except -1:
        # What Socket._closed does, without looking the attribute up: its memory goes when pyzmq closes the socket.
        cdef PyObject* found
        if self._handle == NULL:
            return self.socket.closed
        found = (<getter>self._closed_getter)(<PyObject*>self.socket, self._closed_closure)
        if found == NULL:
            raise SystemError("zmq.Socket._closed failed")
        Py_DECREF(<object>found)
        return found == Py_True

    cdef int send_c(self, const char* data, size_t size) except -1:
        cdef int error
        if self._handle == NULL:
            return self._send_by_pyzmq(PyBytes_FromStringAndSize(data, size))
        if self.closed_c():
            raise zmq.ZMQError(ENOTSOCK)
        while API.send(self._handle, data, size, DONTWAIT) < 0:
            error = API.error_number()
            if error == EAGAIN:
                return 0
            _raise_unless_interrupted(error)
        return 1

    cdef int send_bytes_c(self, bytes frame) except -1:
        cdef ZmqMessage message
        cdef ReleaseEntry* entry
        cdef int error
        if self._handle == NULL:
            return self._send_by_pyzmq(frame)
        if self.closed_c():
            raise zmq.ZMQError(ENOTSOCK)
        if not ReleaseList.empty():
            release_sent()
        entry = ReleaseList.entry(<void*>frame)
        if entry == NULL:
            raise MemoryError
        if API.msg_init_data(
            &message, <void*>PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame), ReleaseList.release, entry
        ) < 0:
            ReleaseList.drop(entry)
            raise MemoryError
        Py_INCREF(frame)
        while API.msg_send(&message, self._handle, DONTWAIT) < 0:
            error = API.error_number()
            try:
                if error != EAGAIN:
                    _raise_unless_interrupted(error)
                    continue
            except BaseException:
                API.msg_close(&message)
                raise
            API.msg_close(&message)
            return 0
        return 1

    def _send_by_pyzmq(self, frame):
        try:
            self.socket.send(frame, zmq.DONTWAIT)
        except zmq.Again:
            return 0
        return 1

    cdef int receive_c(self, const char** data, size_t* size) except -1:
        cdef int error
        if self._handle == NULL:
            try:
                self._frame = self.socket.recv(zmq.DONTWAIT)
            except zmq.Again:
                return 0
            data[0] = PyBytes_AS_STRING(self._frame)
            size[0] = PyBytes_GET_SIZE(self._frame)
            return 1
        if self.closed_c():
            raise zmq.ZMQError(ENOTSOCK)
        while API.msg_recv(&self._message, self._handle, DONTWAIT) < 0:
            error = API.error_number()
            if error == EAGAIN:
                return 0
            _raise_unless_interrupted(error)
        data[0] = <const char*>API.msg_data(&self._message)
        size[0] = API.msg_size(&self._message)
        return 1

    @cython.binding(False)
    def send(self, frame):
        """Send a frame.

        Parameters
        ----------
        frame
            bytes, bytearray or a contiguous memoryview. A `bytes` of `ZERO_COPY_BYTES` or more is kept, not copied.

        Returns
        -------
        bool
            False where it would have to wait; it was not sent then.

        Raises
        ------
        zmq.ContextTerminated
            If the context was terminated.
        zmq.ZMQError
            If the socket is closed, or libzmq refuses.
        """
        cdef Py_buffer view
        cdef bint taken
        if PyBytes_CheckExact(frame):
            if PyBytes_GET_SIZE(frame) < ZERO_COPY:
                return self.send_c(PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame)) != 0
            return self.send_bytes_c(frame) != 0
        PyObject_GetBuffer(frame, &view, PyBUF_SIMPLE)
        try:
            taken = self.send_c(<const char*>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)
        return taken

    @cython.binding(False)
    def recv(self):
        """The next frame, or None where there is none; raises as `send`."""
        cdef const char* data
        cdef size_t size
        if not self.receive_c(&data, &size):
            return None
        return PyBytes_FromStringAndSize(data, size)

    @property
    def native(self):
        """Whether libzmq's own calls are used, and not pyzmq's."""
        return self._handle != NULL

    @property
    def closed(self):
        """Whether pyzmq has closed the socket."""
        return self.closed_c()


cdef int _raise_unless_interrupted(int error) except -1:
    """After a signal: let Python's handler run, which may raise, and try again."""
    if error == EINTR:
        PyErr_CheckSignals()
        return 0
    if error == zmq.ETERM:
        raise zmq.ContextTerminated
    raise zmq.ZMQError(error)
