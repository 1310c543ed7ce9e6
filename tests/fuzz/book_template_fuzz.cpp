// Whether the templates of order books read a frame as the general path does, for AddressSanitizer. No Python.
//
//   book_template_fuzz SEED MUTANTS HITS < frames
//
// Each line of standard input: the exchange's number, a tab, a frame. Every frame, and MUTANTS of it with a few bytes
// changed, taken out or doubled, is decoded with and without templates: the outcome, and every number and text of it must
// be the same. At least HITS of the frames that were not changed must be read by a template. Frames lie in memory of
// exactly their size. Exit status 1 and a line on standard error at the first difference.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <random>
#include <string>

#include "hftcore/book_decoder.hpp"

namespace {

std::mt19937_64 rng;

[[noreturn]] void fail(const char* what, const std::string& frame) {
    std::fprintf(stderr, "violated: %s: %.2000s\n", what, frame.c_str());
    std::exit(1);
}

void same_levels(const hft::BookDecoder& a, std::size_t from_a, const hft::BookDecoder& b, std::size_t from_b,
                 std::size_t count, const std::string& frame) {
    for (std::size_t i = 0; i < count; ++i) {
        const hft::BookLevel &x = a.levels()[from_a + i], &y = b.levels()[from_b + i];
        if (std::memcmp(&x.price, &y.price, 8) != 0 || std::memcmp(&x.volume, &y.volume, 8) != 0) fail("number", frame);
        if (x.priceText.view() != y.priceText.view() || x.volumeText.view() != y.volumeText.view()) fail("text", frame);
    }
}

void compare(hft::BookDecoder& fast, hft::BookDecoder& slow, const std::string& frame) {
    const std::unique_ptr<char[]> bytes(new char[frame.size()]);
    std::memcpy(bytes.get(), frame.data(), frame.size());
    const int kind = fast.decode(bytes.get(), frame.size(), 7);
    if (kind != slow.decode(bytes.get(), frame.size(), 7)) fail("kind", frame);
    if (fast.count() != slow.count() || fast.unknown() != slow.unknown()) fail("count", frame);
    if (fast.has_frame_seq() != slow.has_frame_seq() || fast.frame_seq() != slow.frame_seq()) fail("frame's number", frame);
    if (fast.frame_time_ns() != slow.frame_time_ns()) fail("frame's time", frame);
    for (std::size_t i = 0; i < fast.count(); ++i) {
        const hft::BookUpdate &x = fast.update(i), &y = slow.update(i);
        if (x.exchangeTimeNs != y.exchangeTimeNs || x.localTimeNs != y.localTimeNs) fail("time", frame);
        if (x.firstSeq != y.firstSeq || x.lastSeq != y.lastSeq || x.prevSeq != y.prevSeq) fail("sequence", frame);
        if (x.hasSeq != y.hasSeq || x.hasPrevSeq != y.hasPrevSeq || x.snapshot != y.snapshot) fail("flags", frame);
        if (x.hasChecksum != y.hasChecksum || x.checksumKind != y.checksumKind) fail("has a checksum", frame);
        if (x.checksum != y.checksum || x.exchange != y.exchange || x.symbol != y.symbol) fail("checksum or symbol", frame);
        if (std::string_view(fast.native_data(i), fast.native_size(i)) !=
            std::string_view(slow.native_data(i), slow.native_size(i))) {
            fail("spelling", frame);
        }
        if (x.bid_count() != y.bid_count() || x.ask_count() != y.ask_count()) fail("levels", frame);
        same_levels(fast, x.bidsBegin, slow, y.bidsBegin, x.bid_count(), frame);
        same_levels(fast, x.asksBegin, slow, y.asksBegin, x.ask_count(), frame);
    }
}

std::string mutated(std::string frame) {
    static const char BYTES[] = "0123456789.-+eE\"[]{},: abpuTU\\";
    for (std::uint64_t n = 1 + rng() % 3; n != 0 && !frame.empty(); --n) {
        const std::size_t at = rng() % frame.size();
        switch (rng() % 4) {
            case 0:
                frame[at] = BYTES[rng() % (sizeof BYTES - 1)];
                break;
            case 1:
                frame.erase(at, 1 + rng() % 4);
                break;
            case 2:
                frame.insert(at, 1, BYTES[rng() % (sizeof BYTES - 1)]);
                break;
            default:
                frame.insert(at, frame.substr(at, 1 + rng() % 12));
        }
    }
    return frame;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 4) return 2;
    rng.seed(std::strtoull(argv[1], nullptr, 10));
    const std::uint64_t mutants = std::strtoull(argv[2], nullptr, 10), wanted = std::strtoull(argv[3], nullptr, 10);
    std::string line;
    std::uint64_t hits = 0;
    hft::BookDecoder fast[32], slow[32];
    while (std::getline(std::cin, line)) {
        const std::size_t exchange = std::strtoull(line.c_str(), nullptr, 10);
        const std::string frame = line.substr(line.find('\t') + 1);
        fast[exchange].set_exchange(static_cast<std::uint8_t>(exchange));
        slow[exchange].set_exchange(static_cast<std::uint8_t>(exchange));
        slow[exchange].use_templates(false);
        const std::uint64_t before = fast[exchange].template_hits();
        compare(fast[exchange], slow[exchange], frame);
        hits += fast[exchange].template_hits() - before;
        for (std::uint64_t i = 0; i < mutants; ++i) compare(fast[exchange], slow[exchange], mutated(frame));
    }
    if (hits < wanted) {
        std::fprintf(stderr, "violated: %llu frames must be read by a template, were %llu\n",
                     static_cast<unsigned long long>(wanted), static_cast<unsigned long long>(hits));
        return 1;
    }
    return 0;
}
