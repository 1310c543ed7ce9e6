// Stress of the shared-memory ring between real processes. No Python.
//
//   shm_stress FOLDER CAPACITY READS READERS [threads]
//
// One writer laps its readers until they have read READS items together; every item is made of words that follow from its number, so that a torn or foreign one
// shows. Each reader checks each item, the order per symbol, and at the end that what it took and what it was told as
// lost is what was published, in positions and per symbol. Joiners come and go meanwhile and check last values.
// Exit status 1 and a line on standard error at the first violation.
#include <sys/wait.h>

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

#include "hftcore/shm_segment.hpp"

using namespace hft::shm;

namespace {

constexpr std::uint32_t SYMBOLS = 5;

std::uint64_t mixed(std::uint64_t number, std::uint64_t word) {
    std::uint64_t x = number * 0x9E3779B97F4A7C15ull + word * 0xBF58476D1CE4E5B9ull;
    return x ^ (x >> 29);
}

[[noreturn]] void fail(const char* what, std::uint64_t expected, std::uint64_t found) {
    std::fprintf(stderr, "violated: %s, expected %" PRIu64 ", was %" PRIu64 "\n", what, expected, found);
    std::exit(1);
}

void expect(const char* what, std::uint64_t expected, std::uint64_t found) {
    if (expected != found) fail(what, expected, found);
}

std::uint32_t symbol_of(std::uint64_t number) { return 1 + static_cast<std::uint32_t>(mixed(number, 9) % SYMBOLS); }

void fill(std::uint64_t number, std::uint64_t* words) {
    for (std::uint64_t w = 0; w < 8; ++w) words[w] = w == 0 ? number : mixed(number, w);
    words[7] = 0;  // the symbol's word
}

// Words as they were written, of the symbol that they must have.
void check(const Record& record) {
    std::uint64_t words[8];
    fill(record.item[0], words);
    for (int w = 1; w < 7; ++w) expect("word", words[w], record.item[w]);
    expect("symbol", symbol_of(record.item[0]), record.symbol);
    expect("symbol in the item", record.symbol, static_cast<std::uint32_t>(record.item[7]));
}

std::atomic<std::uint64_t>* reads;  // of all readers, in shared memory
std::atomic<unsigned>* arrived;  // processes that have found the segment, beside it

struct Counts {
    std::uint64_t taken[SYMBOLS + 1] = {}, lost[SYMBOLS + 1] = {};
};

// Takes one step; whether there was one.
bool step(Reader& reader, Counts* counts, std::uint64_t* next) {
    Record record, last;
    switch (reader.next(&record)) {
        case STEP_EMPTY:
            return false;
        case STEP_ITEM:
            check(record);
            if (record.item[0] < *next) fail("order", *next, record.item[0]);
            *next = record.item[0] + 1;
            ++counts->taken[record.symbol];
            return true;
        case STEP_GAP:
            counts->lost[reader.gap_symbol()] += reader.gap_lost();
            return true;
        case STEP_LAPPED:
            while (reader.learned() < reader.symbol_count()) reader.learn(true, false, &last);
            reader.sweep();
            return true;
        case STEP_UNKNOWN:
            while (reader.learned() < reader.symbol_count()) reader.learn(true, false, &last);
            return true;
        case STEP_BUSY:
            return true;
        default:
            fail("step", STEP_ITEM, STEP_BAD);
    }
}

// What was taken and what was told as lost is what was published, in positions and per symbol.
void check_totals(const Reader& reader, const Counts& counts) {
    expect("taken + lost, in positions", reader.head(), reader.taken() + reader.lost());
    std::uint64_t sum = 0, lost = 0;
    for (std::uint32_t symbol = 1; symbol <= SYMBOLS; ++symbol) {
        Record last;
        if (!reader.read_last(symbol, &last)) continue;
        expect("taken + lost of a symbol", last.topicSeq, counts.taken[symbol] + counts.lost[symbol]);
        sum += last.topicSeq;
        lost += counts.lost[symbol];
    }
    expect("sum over the symbols", reader.head(), sum);
    expect("lost", reader.lost(), lost);
}

// From the first message to the last.
int read_all(const View& view, unsigned seed) {
    Reader reader;
    reader.attach(view, true);
    Counts counts;
    std::uint64_t next = 0, reported = 0;
    for (std::uint64_t turn = seed;; ++turn) {
        if (!step(reader, &counts, &next)) {
            const bool over = !live(view);
            if (over && !reader.ready()) break;
            reads->fetch_add(reader.taken() - reported, std::memory_order_relaxed);
            reported = reader.taken();
            wait_for(view, reader.position(), seed % 2 == 0 ? 1'000'000 : 0, 1'000'000);
        }
        if ((turn & 1023) == 0) {
            reads->fetch_add(reader.taken() - reported, std::memory_order_relaxed);
            reported = reader.taken();
        }
    }
    check_totals(reader, counts);
    std::printf("published %" PRIu64 " read %" PRIu64 " lost %" PRIu64 "\n", reader.head(), reader.taken(),
                reader.lost());
    return 0;
}

int read_path(const std::string& path, unsigned seed) {
    Trouble trouble;
    auto segment = Segment::attach(path, KIND_TICKER, &trouble);
    if (!segment) fail(trouble.text.c_str(), 1, 0);
    segment->join();
    arrived->fetch_add(1, std::memory_order_relaxed);
    return read_all(segment->view(), seed);
}

// Joins in the middle, again and again: last values are whole and what follows them follows.
int join_often(const std::string& path) {
    Trouble trouble;
    std::uint64_t joins = 0;
    for (;;) {
        auto segment = Segment::attach(path, KIND_TICKER, &trouble);
        if (!segment) {
            // It was there before us, and stays until we have arrived.
            if (trouble.kind == FAILURE_MISSING) break;
            std::this_thread::yield();
            continue;
        }
        Reader reader;
        reader.attach(segment->view(), false);
        Counts counts;
        std::uint64_t next = 0, told = 0, base[SYMBOLS + 1] = {};
        while (reader.learned() < reader.symbol_count()) {
            Record last;
            const std::uint32_t number = reader.learned();
            if (reader.learn(true, true, &last)) {
                check(last);
                expect("symbol of a last value", number, last.symbol);
                expect("number of a last value", last.topicSeq, reader.seen(number));
            }
            base[number] = reader.seen(number);
        }
        for (int i = 0; i < 2000; ++i) {
            if (!step(reader, &counts, &next)) break;
        }
        for (std::uint32_t symbol = 1; symbol < reader.learned(); ++symbol) {
            expect("numbers after a last value", reader.seen(symbol),
                   base[symbol] + counts.taken[symbol] + counts.lost[symbol]);
            told += counts.lost[symbol];
        }
        if (told > reader.lost()) fail("lost by a joiner", reader.lost(), told);
        if (joins++ == 0) arrived->fetch_add(1, std::memory_order_relaxed);
        if (!live(segment->view())) break;
    }
    return 0;
}

// Nobody writes while the reader reads: each lap ends where it must, however many messages it was.
void lap_alone(const std::string& path, std::uint64_t capacity) {
    Trouble trouble;
    auto segment = Segment::create(path, Shape{capacity, 16, KIND_TICKER, 3, 1}, &trouble);
    if (!segment) fail(trouble.text.c_str(), 1, 0);
    Writer writer(segment->view());
    for (std::uint32_t symbol = 1; symbol <= SYMBOLS; ++symbol) writer.append_symbol("a/b", 3);
    Reader reader;
    reader.attach(segment->view(), true);
    Counts counts;
    std::uint64_t number = 0, next = 0;
    for (std::uint64_t lap = 0; lap < 40; ++lap) {
        const std::uint64_t before = reader.taken();
        const std::uint64_t count = 1 + mixed(lap, 7) % (3 * capacity);
        for (std::uint64_t end = number + count; number < end; ++number) {
            std::uint64_t words[8];
            fill(number, words);
            writer.publish(words, symbol_of(number));
        }
        while (step(reader, &counts, &next)) {
        }
        // Learning and laps are steps of their own, so that all there was is read now.
        expect("position after a lap", number, reader.position());
        if (reader.taken() == before && capacity > 1) fail("read after a lap", 1, 0);
        check_totals(reader, counts);
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 5 && argc != 6) return 2;
    const std::string path = std::string(argv[1]) + "/stress.shm";
    const std::uint64_t capacity = std::strtoull(argv[2], nullptr, 10);
    const std::uint64_t wanted = std::strtoull(argv[3], nullptr, 10);
    const unsigned readers = static_cast<unsigned>(std::strtoul(argv[4], nullptr, 10));
    const bool threads = argc == 6;

    lap_alone(std::string(argv[1]) + "/alone.shm", capacity);
    void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    reads = new (page) std::atomic<std::uint64_t>(0);
    arrived = new (static_cast<char*>(page) + 64) std::atomic<unsigned>(threads ? readers + 1 : 0);
    Trouble trouble;
    auto segment = Segment::create(path, Shape{capacity, 16, KIND_TICKER, 3, 1}, &trouble);
    if (!segment) {
        std::fprintf(stderr, "%s\n", trouble.text.c_str());
        return 2;
    }
    std::vector<std::thread> running;
    std::vector<pid_t> children;
    for (unsigned i = 0; i <= readers; ++i) {
        if (threads) {
            if (i != readers) running.emplace_back([&segment, i] { read_all(segment->view(), i); });
            continue;
        }
        const pid_t child = fork();
        if (child == 0) {
            segment->disown();
            std::exit(i == readers ? join_often(path) : read_path(path, i));
        }
        children.push_back(child);
    }
    Writer writer(segment->view());
    bool known[SYMBOLS + 1] = {};
    int status = 0;
    std::uint64_t number = 0;
    // Whoever comes late to a segment that has ended would find none.
    const auto goes_on = [wanted, readers] {
        return reads->load(std::memory_order_relaxed) < wanted || arrived->load(std::memory_order_relaxed) <= readers;
    };
    for (std::uint64_t burst = 0; goes_on() && status == 0; ++burst) {
        // Mostly what fits into the ring, now and then a lap or more.
        const std::uint64_t most = mixed(burst, 5) % 8 == 0 ? 4 * capacity + 64 : capacity / 2 + 1;
        for (std::uint64_t count = 1 + mixed(burst, 6) % most; count != 0; --count, ++number) {
            const std::uint32_t symbol = symbol_of(number);
            while (!known[symbol]) {
                const std::string name = "s" + std::to_string(segment->view().header->symbolCount.load()) + "/usd";
                known[writer.append_symbol(name.c_str(), name.size())] = true;
            }
            std::uint64_t words[8];
            fill(number, words);
            writer.publish(words, symbol);
        }
        if (writer.sleepers()) notify(*segment->view().park);
        std::this_thread::sleep_for(std::chrono::microseconds(1));
        // A reader that found a violation has ended.
        if (burst % 64 == 0 && !threads && waitpid(-1, &status, WNOHANG) > 0 && status == 0) status = 1;
    }
    segment->close();
    for (std::thread& thread : running) thread.join();
    for (std::size_t i = 0; i < children.size(); ++i) {
        int found = 0;
        if (wait(&found) > 0 && found != 0) status = 1;
    }
    return status != 0;
}
