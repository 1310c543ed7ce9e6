// A book and the rules that keep it, in one block of memory: with thousands of symbols what an update costs is what it
// fetches, so all of it lies together and can be asked for by one address.
//
//   offset  field
//        0  keeper    BookKeeper, one line
//       64  book      OrderBook: its own line, counters, bids (their line, then their rows), asks, checksums' sums
#pragma once

#include <cstddef>

#include "hftcore/block_pool.hpp"
#include "hftcore/book_symbols.hpp"
#include "hftcore/book_sync.hpp"
#include "hftcore/order_book.hpp"

namespace hft {

struct KeptBook : Pooled<KeptBook> {
    explicit KeptBook(std::size_t depth) noexcept : keeper(&book, false), book(depth) {}

    static KeptBook* of(OrderBook* book) noexcept { return reinterpret_cast<KeptBook*>(reinterpret_cast<char*>(book) - sizeof(BookKeeper)); }

    BookKeeper keeper;
    OrderBook book;
};
static_assert(sizeof(BookKeeper) == 64 && alignof(OrderBook) == 64);
static_assert(sizeof(BookKeeper) + OrderBook::BIDS_AT == TARGET_BIDS && sizeof(BookKeeper) + OrderBook::ASKS_AT == TARGET_ASKS);
// An odd number of lines: the same line of many books does not fall into the same few sets of a cache.
static_assert(sizeof(KeptBook) % 128 == 64);

}  // namespace hft
