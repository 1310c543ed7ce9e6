"""Topics of fixed size, and prefix filters over many subscriptions."""

from libc.stdint cimport uint32_t
from libcpp cimport bool as cbool
from libcpp.vector cimport vector


cdef extern from "<string_view>" namespace "std" nogil:
    cdef cppclass string_view:
        string_view()
        string_view(const char* text, size_t size)


cdef extern from "hftcore/topic.hpp" namespace "hft" nogil:
    cbool topic_equals(const char* topic, size_t size, const char* text, size_t text_size) noexcept
    size_t topic_text_size(const char* topic, size_t size) noexcept

    cdef cppclass CPrefixFilter "hft::PrefixFilter":
        cbool add(string_view prefix) except +
        cbool remove(string_view prefix) except +
        uint32_t count(string_view prefix) except +
        cbool match(string_view topic) except +
        vector[size_t] matching(string_view topic) except +
        size_t size() noexcept


cdef class PrefixFilter:
    cdef CPrefixFilter c
