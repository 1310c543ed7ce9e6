"""ZeroMQ's C face: frames sent and received on a pyzmq socket without pyzmq's per-call work."""

from libcpp cimport bool as cbool


cdef extern from "hftcore/zmq_api.hpp" namespace "hft" nogil:
    struct ZmqMessage "hft::ZmqMessage":
        pass

    struct ZmqApi "hft::ZmqApi":
        int (*send)(void* socket, const void* data, size_t size, int flags) noexcept
        int (*msg_init)(ZmqMessage* message) noexcept
        int (*msg_init_data)(
            ZmqMessage* message, void* data, size_t size, void (*release)(void*, void*) noexcept nogil, void* hint) noexcept
        int (*msg_recv)(ZmqMessage* message, void* socket, int flags) noexcept
        int (*msg_send)(ZmqMessage* message, void* socket, int flags) noexcept
        int (*msg_close)(ZmqMessage* message) noexcept
        void* (*msg_data)(ZmqMessage* message) noexcept
        size_t (*msg_size)(const ZmqMessage* message) noexcept
        int (*error_number)() noexcept

    struct ReleaseEntry "hft::ReleaseList::Entry":
        void* object

    cdef cppclass ReleaseList "hft::ReleaseList":
        @staticmethod
        ReleaseEntry* entry(void* object) noexcept
        @staticmethod
        void release(void* data, void* hint) noexcept
        @staticmethod
        cbool empty() noexcept
        @staticmethod
        ReleaseEntry* take_all() noexcept
        @staticmethod
        ReleaseEntry* drop(ReleaseEntry* done) noexcept


cdef class NativeSocket:
    # pyzmq's socket, kept alive; libzmq's own, NULL where the calls go through pyzmq
    cdef readonly object socket
    cdef void* _handle
    # how to ask pyzmq whether it has closed the socket
    cdef void* _closed_getter
    cdef void* _closed_closure
    # the frame that receive_c gave last
    cdef ZmqMessage _message
    cdef bytes _frame

    cdef bint closed_c(self) except -1
    # Send a copy without waiting: 1, or 0 where it would have to wait. Raises ZMQError.
    cdef int send_c(self, const char* data, size_t size) except -1
    # As send_c, of an object that libzmq keeps instead of a copy.
    cdef int send_bytes_c(self, bytes frame) except -1
    # The next frame, valid until the next call: 1, or 0 where there is none. Raises ZMQError.
    cdef int receive_c(self, const char** data, size_t* size) except -1
