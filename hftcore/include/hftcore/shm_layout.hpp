// The layout of a shared-memory segment: one writer's tickers or trades of one exchange, for any reader on the host.
//
//   offset      what                                                                        written by
//        0      Header: what the segment is; never changes once the magic number stands     writer
//      128        head: how many messages were published                                    writer
//      192        symbolCount: how many entries of the symbol table are in use              writer
//      256        state, heartbeatNs                                                        writer
//    65536      ParkPage: the word that sleeping readers wait on, how many have joined      writer and readers
//   131072      symbol table: maxSymbols entries of 256 bytes                               writer
//    then       events: eventCount blocks of 4096 bytes                                     writer
//    then       ring: capacity slots of 128 bytes                                           writer
//
// Readers map everything read-only, but for the park page. All that changes under a reader is made of 8-byte atomic
// words, and each slot, last value and event has a sequence of its own (shm_ring.hpp).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

// Where the crash-point test kills a writer: before and after each of its stores and system calls.
#ifndef HFT_CRASH_POINT
#define HFT_CRASH_POINT() ((void)0)
#endif

namespace hft::shm {

using Word = std::atomic<std::uint64_t>;
static_assert(sizeof(Word) == 8 && Word::is_always_lock_free, "words of shared memory must be plain machine words");
static_assert(std::atomic<std::uint32_t>::is_always_lock_free && sizeof(std::atomic<std::uint32_t>) == 4);

constexpr std::uint64_t MAGIC = 0x0a314d4853544648ull;  // "HFTSHM1\n"; another byte order reads another number
constexpr std::uint32_t LAYOUT_VERSION = 1;
constexpr std::size_t PARK_OFFSET = 65536;  // a multiple of every page size in use
constexpr std::size_t SYMBOLS_OFFSET = 131072;
constexpr std::uint64_t MAX_CAPACITY = 1ull << 22;
constexpr std::uint32_t MAX_SYMBOLS = 1u << 20;
constexpr std::uint32_t EVENT_COUNT = 64;
constexpr std::size_t SYMBOL_BYTES = 64;  // UTF-8
constexpr std::size_t EVENT_TEXT_BYTES = 4080;
constexpr std::uint32_t CONTROL = 0;  // the entry of the symbol table under which events are numbered

enum Kind : std::uint32_t { KIND_TICKER = 1, KIND_TRADE = 2, KIND_EVENT = 3 };
enum State : std::uint32_t { STATE_LIVE = 1, STATE_CLOSED = 2, STATE_REPLACED = 3 };

// What a slot carries. `symbol` is the number of an entry of this segment's symbol table; item is a Ticker or Trade,
// whose own symbol field is the same number.
struct Record {
    std::uint64_t topicSeq;  // from 1, per symbol
    std::uint32_t symbol;
    std::uint32_t kind;
    std::uint64_t item[8];
    std::uint64_t position;  // in the ring
};
constexpr int RECORD_WORDS = 11;
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "symbol is the lower half of its word");
static_assert(sizeof(Record) == RECORD_WORDS * 8 && offsetof(Record, symbol) == 8 &&
              offsetof(Record, kind) == 12 && offsetof(Record, item) == 16 && offsetof(Record, position) == 80);

//   offset  field
//        0  sequence   2n+1 while record n is written, 2n+2 once it stands
//        8  words      a Record
struct alignas(64) Slot {
    Word sequence;
    Word words[15];
};
static_assert(sizeof(Slot) == 128 && offsetof(Slot, words) == 8);

//   offset  field
//        0  bytes      of the text
//        8  text       UTF-8, 8 words
//      128  last       the last value of the symbol, a Slot whose n is topicSeq - 1
struct alignas(64) SymbolEntry {
    Word bytes;
    Word text[8];
    Word reserved[7];
    Slot last;
};
static_assert(sizeof(SymbolEntry) == 256 && offsetof(SymbolEntry, last) == 128);

//   offset  field
//        0  sequence   2n+1 while event n (from 1) is written, 2n+2 once it stands
//        8  bytes
//       16  words      the event, encoded by the publisher
struct alignas(64) EventBlock {
    Word sequence;
    Word bytes;
    Word words[510];
};
static_assert(sizeof(EventBlock) == 4096 && offsetof(EventBlock, words) == 16 && EVENT_TEXT_BYTES == 510 * 8);

struct Header {
    Word magic;                   //   0
    std::uint32_t layoutVersion;  //   8
    std::uint32_t headerBytes;    //  12
    std::uint64_t fileBytes;      //  16
    std::uint64_t epoch;          //  24  the publisher's life
    std::int64_t createdNs;       //  32  CLOCK_MONOTONIC
    std::uint64_t capacity;       //  40  slots, a power of two
    std::uint32_t slotBytes;      //  48
    std::uint32_t maxSymbols;     //  52
    std::uint32_t symbolBytes;    //  56
    std::uint32_t eventCount;     //  60
    std::uint32_t eventBytes;     //  64
    std::uint32_t kind;           //  68
    std::uint32_t exchange;       //  72
    std::uint32_t writerPid;      //  76
    alignas(64) Word head;                                // 128
    alignas(64) std::atomic<std::uint32_t> symbolCount;   // 192
    alignas(64) std::atomic<std::uint32_t> state;         // 256
    std::uint32_t reserved;                               // 260
    std::atomic<std::int64_t> heartbeatNs;                // 264  CLOCK_MONOTONIC
};
static_assert(offsetof(Header, fileBytes) == 16 && offsetof(Header, capacity) == 40 && offsetof(Header, kind) == 68 &&
              offsetof(Header, writerPid) == 76 && offsetof(Header, head) == 128 &&
              offsetof(Header, symbolCount) == 192 && offsetof(Header, state) == 256 &&
              offsetof(Header, heartbeatNs) == 264 && sizeof(Header) == 320);

struct ParkPage {
    // Bit 0: a reader sleeps or is about to. The rest counts wake-ups.
    alignas(64) std::atomic<std::uint32_t> word;  //  0
    alignas(64) Word joins;                       // 64
};
static_assert(offsetof(ParkPage, joins) == 64 && sizeof(ParkPage) == 128);

constexpr std::size_t events_offset(std::uint32_t max_symbols) {
    return SYMBOLS_OFFSET + std::size_t{max_symbols} * sizeof(SymbolEntry);
}
constexpr std::size_t ring_offset(std::uint32_t max_symbols) {
    return (events_offset(max_symbols) + EVENT_COUNT * sizeof(EventBlock) + 4095) / 4096 * 4096;
}
constexpr std::size_t file_bytes(std::uint64_t capacity, std::uint32_t max_symbols) {
    return (ring_offset(max_symbols) + capacity * sizeof(Slot) + 4095) / 4096 * 4096;
}

// Where the parts of a mapped segment are.
struct View {
    Header* header = nullptr;
    ParkPage* park = nullptr;
    SymbolEntry* symbols = nullptr;
    EventBlock* events = nullptr;
    Slot* ring = nullptr;
    std::uint64_t capacity = 0;
    std::uint32_t maxSymbols = 0;

    View() = default;
    View(char* base, char* park_page, std::uint64_t slots, std::uint32_t max_symbols)
        : header(reinterpret_cast<Header*>(base)),
          park(reinterpret_cast<ParkPage*>(park_page)),
          symbols(reinterpret_cast<SymbolEntry*>(base + SYMBOLS_OFFSET)),
          events(reinterpret_cast<EventBlock*>(base + events_offset(max_symbols))),
          ring(reinterpret_cast<Slot*>(base + ring_offset(max_symbols))),
          capacity(slots),
          maxSymbols(max_symbols) {}
};

}  // namespace hft::shm
