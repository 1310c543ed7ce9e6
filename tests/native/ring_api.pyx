# distutils: language = c++
"""What an extension outside this tree does with a ring: pushes structs and drains them by a C function."""

from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset

from hftcore.latency cimport now_ns
from hftcore.ring cimport Ring
from hftcore.types cimport TickerStruct, TradeStruct


cdef struct Sum:
    int64_t count
    uint64_t seqs
    double prices
    bint in_order
    uint64_t last


cdef void add_ticker(void* context, const TickerStruct* item) noexcept nogil:
    cdef Sum* total = <Sum*>context
    total.count += 1
    total.seqs += item.seq
    total.prices += item.bidPrice
    if item.seq <= total.last:
        total.in_order = False
    total.last = item.seq


cdef void add_trade(void* context, const TradeStruct* item) noexcept nogil:
    cdef Sum* total = <Sum*>context
    total.count += 1
    total.seqs += item.seq
    total.prices += item.price


def push_tickers(Ring ring, int64_t symbol, uint64_t first, uint64_t count, bint with_gil=False, int burst=1, int pause=0):
    """Push numbered tickers without the GIL (or with it), looking `pause` times at the clock after each; how many
    were taken."""
    cdef TickerStruct item
    cdef int look
    cdef uint64_t taken = 0, number
    memset(&item, 0, sizeof(item))
    item.symbol = <int>symbol
    item.exchange = 3
    if with_gil:
        for number in range(first, first + count):
            item.seq = number
            taken += ring.push_ticker(&item)
        ring.notify()
        return taken
    with nogil:
        for number in range(first, first + count):
            item.seq = number
            item.bidPrice = number
            taken += ring.push_ticker(&item)
            if number % burst == 0:
                ring.notify()
            for look in range(pause):
                now_ns()
        ring.notify()
    return taken


def drain_tickers(Ring ring, Py_ssize_t limit):
    cdef Sum total = Sum(0, 0, 0, True, 0)
    cdef Py_ssize_t done
    with nogil:
        done = ring.drain_tickers_c(add_ticker, &total, limit)
    assert done == total.count
    return done, total.seqs, total.prices, bool(total.in_order)


def drain_trades(Ring ring, Py_ssize_t limit):
    cdef Sum total = Sum(0, 0, 0, True, 0)
    cdef Py_ssize_t done
    with nogil:
        done = ring.drain_trades_c(add_trade, &total, limit)
    assert done == total.count
    return done, total.seqs, total.prices


def drain_into(Ring ring, callback, Py_ssize_t limit):
    return ring.drain_c(callback, limit)
