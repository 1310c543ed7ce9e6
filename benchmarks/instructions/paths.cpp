// The hot paths, one after the other, for callgrind: PROGRAM frames.tsv segment, the latter a
// path in shared memory that does not exist yet. Prints the name of each and how many
// operations one call of `hft_measured` does; callgrind counts what happens inside of it, one part per call.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "hftcore/frame_decoder.hpp"
#include "hftcore/conflating_ring.hpp"
#include "hftcore/latency_histogram.hpp"
#include "hftcore/market_codec.hpp"
#include "hftcore/mpsc_ring.hpp"
#include "hftcore/order_book.hpp"
#include "hftcore/shm_ring.hpp"
#include "hftcore/shm_segment.hpp"
#include "hftcore/spsc_ring.hpp"
#include "hftcore/topic.hpp"

using Path = std::function<void(std::size_t)>;

// In a unit of its own, book_paths.cpp: what the compiler inlines of the other paths is theirs alone to say.
void measure_book_decode(const std::string& name, std::uint8_t exchange, const std::string& frame);

namespace {


constexpr std::size_t OPERATIONS = 1000;
std::uint64_t kept;  // what the paths make, so that the compiler cannot leave it out

// The caller's side of a loop is counted too: it is a few instructions, and always the same.
template <typename T>
inline void use(const T& value) {
    asm volatile("" : : "g"(&value) : "memory");
}

}  // namespace

extern "C" __attribute__((noinline)) void hft_measured(const Path* path, std::size_t operations) {
    (*path)(operations);
    asm volatile("" : : : "memory");
}

namespace {

void measure(const std::string& name, const Path& path, std::size_t operations = OPERATIONS) {
    path(64);  // what is needed the first time alone
    hft_measured(&path, operations);
    std::printf("%s\t%zu\n", name.c_str(), operations);
}

void measure_decode(const std::string& name, std::uint8_t exchange, const std::string& frame, bool use_templates) {
    hft::FrameDecoder decoder;
    decoder.set_exchange(exchange);
    decoder.use_templates(use_templates);
    const auto decode = [&] {
        if (decoder.decode(frame.data(), frame.size(), 1, 0) != hft::FRAME_EVENTS || decoder.count() == 0) {
            std::fprintf(stderr, "%s must have events\n", name.c_str());
            std::exit(1);
        }
    };
    decode();
    for (std::size_t i = 0; i < decoder.count(); ++i) {
        if (decoder.symbol(i) < 0) decoder.learn(i, static_cast<std::int32_t>(i));
    }
    decode();
    if ((decoder.template_hits() != 0) != use_templates) {
        std::fprintf(stderr, "%s must be read by a template\n", name.c_str());
        std::exit(1);
    }
    measure("decode " + name + (use_templates ? "" : ", general path"), [&decoder, &frame](std::size_t n) {
        for (std::size_t i = 0; i < n; ++i) {
            kept += static_cast<std::uint64_t>(decoder.decode(frame.data(), frame.size(), 1, 0));
            use(decoder);
        }
    });
}

// Frames whose name ends with "book" are those of a book.
bool is_book(const std::string& name) {
    return name.size() > 5 && name.compare(name.size() - 5, 5, " book") == 0;
}

void measure_frames(const char* file) {
    std::ifstream lines(file);
    std::string name, number, frame, last;
    while (std::getline(lines, name, '\t') && std::getline(lines, number, '\t') && std::getline(lines, frame)) {
        const std::uint8_t exchange = static_cast<std::uint8_t>(std::stoi(number));
        if (is_book(name)) {
            measure_book_decode(name, exchange, frame);
            continue;
        }
        if (!hft::FrameDecoder::supports(exchange)) continue;
        measure_decode(name, exchange, frame, true);
        // The general path once for each venue.
        if (number != last) measure_decode(name, exchange, frame, false);
        last = number;
    }
}

hft::Ticker ticker() {
    hft::Ticker item{};
    item.exchangeTimeNs = 1'772'368'245'123'456'789;
    item.localTimeNs = 1'772'368'245'124'000'000;
    item.bidPrice = 64001.1;
    item.bidVolume = 0.25;
    item.askPrice = 64001.2;
    item.askVolume = 1.5;
    item.seq = 400900217;
    item.symbol = 7;
    item.exchange = 3;
    return item;
}

hft::Trade trade() {
    hft::Trade item{};
    item.exchangeTimeNs = item.tradeTimeNs = 1'772'368'245'123'456'789;
    item.localTimeNs = 1'772'368'245'124'000'000;
    item.price = 64001.1;
    item.volume = 0.25;
    item.tradeId = 338476328;
    item.seq = 12;
    item.symbol = 7;
    item.exchange = 5;
    item.side = hft::SIDE_BUY;
    return item;
}

template <typename Ring>
void measure_ring(const std::string& name, Ring&& ring) {
    hft::Ticker items[64], out[64];
    for (int i = 0; i < 64; ++i) {
        items[i] = ticker();
        items[i].symbol = i;
    }
    measure(name + " push and pop", [&](std::size_t n) {
        for (std::size_t i = 0; i < n; ++i) {
            kept += ring.offer(&items[i % 64]);
            kept += ring.pop(out, 1);
            use(out);
        }
    });
    measure(name + " push 64 and pop 64", [&](std::size_t n) {
        for (std::size_t i = 0; i < n; i += 64) {
            for (const hft::Ticker& item : items) kept += ring.offer(&item);
            kept += ring.pop(out, 64);
            use(out);
        }
    }, 640);
}

void measure_rings() {
    measure_ring("ring", hft::SpscRing(256, hft::OVERFLOW_DROP_NEWEST));
    measure_ring("ring, drop-oldest,", hft::SpscRing(256, hft::OVERFLOW_DROP_OLDEST));
    measure_ring("ring of many producers", hft::MpscRing(256, hft::OVERFLOW_DROP_NEWEST));
    measure_ring("ring of many producers, drop-oldest,", hft::MpscRing(256, hft::OVERFLOW_DROP_OLDEST));
    measure_ring("ring, conflate,", hft::ConflatingRing(256));
}

// Memory of this process alone: the instructions are the same.
void measure_shared_memory(const std::string& path) {
    namespace shm = hft::shm;
    shm::Trouble trouble;
    const auto owner = shm::Segment::create(path, shm::Shape{1024, 16, shm::KIND_TICKER, 3, 1}, &trouble);
    if (owner == nullptr) {
        std::fprintf(stderr, "no segment at %s\n", path.c_str());
        std::exit(1);
    }
    shm::Writer writer(owner->view());
    const std::int32_t symbol = writer.append_symbol("btc/usdt", 8);
    shm::Reader reader;
    reader.attach(owner->view(), true);
    shm::Record record;
    while (reader.learned() < reader.symbol_count()) reader.learn(true, false, &record);
    const hft::Ticker item = ticker();
    measure("shared memory publish", [&](std::size_t n) {
        for (std::size_t i = 0; i < n; ++i) kept += writer.publish(&item, static_cast<std::uint32_t>(symbol));
    }, 200);
    const auto read = [&](std::size_t n) {
        for (std::size_t i = 0; i < n; ++i) {
            kept += reader.next(&record) == shm::STEP_ITEM;
            use(record);
        }
    };
    measure("shared memory read", read, 200);
}

void measure_topics() {
    hft::PrefixFilter filter;
    for (int i = 0; i < 10'000; ++i) {
        std::string topic = "sym" + std::to_string(i);
        topic.resize(32, ' ');
        filter.add(topic);
    }
    std::string known = "sym5000", unknown = "btcusdt";
    known.resize(32, ' '), unknown.resize(32, ' ');
    measure("topic match among 10,000", [&](std::size_t n) {
        for (std::size_t i = 0; i < n; ++i) kept += filter.match(known) + filter.match(unknown);
    });
    measure("topic equals", [&](std::size_t n) {
        for (std::size_t i = 0; i < n; ++i) {
            use(known);
            kept += hft::topic_equals(known.data(), known.size(), "sym5000", 7);
        }
    });
}

void measure_histogram() {
    static hft::LatencyHistogram histogram;
    measure("latency record", [](std::size_t n) {
        for (std::size_t i = 0; i < n; ++i) histogram.record(static_cast<std::int64_t>(i * 37 % 100'000));
    });
}

template <typename Struct>
void measure_codec(const std::string& name, const Struct& item) {
    char message[hft::MAX_MARKET_MESSAGE];
    std::size_t size = 0;
    measure("encode " + name, [&](std::size_t n) {
        for (std::size_t i = 0; i < n; ++i) {
            use(item);
            size = hft::encode_message(message, 1'000'000 + i, 0x1234567890abcdef, false, "btc/usdt", 8, item);
            use(message);
        }
    });
    measure("decode " + name + " message", [&](std::size_t n) {
        Struct out;
        hft::Envelope rest;
        for (std::size_t i = 0; i < n; ++i) {
            kept += hft::decode_message(message, size, out, rest);
            use(out);
            use(rest);
        }
    });
}

// Levels of a book, a tick apart, as a venue writes them.
struct BookFrames {
    std::vector<std::string> texts;
    std::vector<hft::BookLevel> levels;

    void add(std::int64_t price, const std::string& volume) {
        texts.push_back(std::to_string(price / 10) + "." + std::to_string(price % 10) + "0000000");
        texts.push_back(volume);
    }

    static hft::Lexeme lexeme_of(const std::string& text) {
        return {text.data(), static_cast<std::uint32_t>(text.size()), hft::form_of(text)};
    }

    void finish() {
        for (std::size_t i = 0; i < texts.size(); i += 2) {
            hft::BookLevel level{};
            hft::parse_double(texts[i], &level.price);
            hft::parse_double(texts[i + 1], &level.volume);
            // With their forms, which a template tells.
            level.priceText = lexeme_of(texts[i]);
            level.volumeText = lexeme_of(texts[i + 1]);
            levels.push_back(level);
        }
    }
};

void measure_book() {
    constexpr std::int64_t BEST_BID = 640'000, BEST_ASK = 640'001, LEVELS = 1000;
    BookFrames whole;
    for (std::int64_t i = 0; i < LEVELS; ++i) whole.add(BEST_BID - i, "0.25000000");
    for (std::int64_t i = 0; i < LEVELS; ++i) whole.add(BEST_ASK + i, "1.50000000");
    whole.finish();
    hft::OrderBook book(LEVELS);
    book.apply(whole.levels.data(), LEVELS, whole.levels.data() + LEVELS, LEVELS, true);

    // A bid near the best one changes, goes and comes back; one in the middle too.
    for (const std::int64_t rank : {std::int64_t{2}, std::int64_t{500}}) {
        BookFrames change;
        change.add(BEST_BID - rank, "0.75000000");
        change.add(BEST_BID - rank, "0.00000000");
        change.add(BEST_BID - rank, "0.25000000");
        change.finish();
        const std::string where = "rank " + std::to_string(rank);
        measure("book, change " + where, [&](std::size_t n) {
            for (std::size_t i = 0; i < n; ++i) kept += book.apply(&change.levels[0], 1, nullptr, 0, false) == 0;
        });
        measure("book, remove, insert " + where, [&](std::size_t n) {
            for (std::size_t i = 0; i < n; ++i) {
                kept += book.apply(&change.levels[1], 1, nullptr, 0, false) == 0;
                kept += book.apply(&change.levels[2], 1, nullptr, 0, false) == 0;
            }
        });
        measure("book, change " + where + ", Kraken's checksum", [&](std::size_t n) {
            for (std::size_t i = 0; i < n; ++i) {
                kept += book.apply(&change.levels[i & 1 ? 0 : 2], 1, nullptr, 0, false) == 0;
                kept += book.checksum_kraken();
            }
        });
        measure("book, change " + where + ", OKX's checksum", [&](std::size_t n) {
            for (std::size_t i = 0; i < n; ++i) {
                kept += book.apply(&change.levels[i & 1 ? 0 : 2], 1, nullptr, 0, false) == 0;
                kept += static_cast<std::uint32_t>(book.checksum_okx());
            }
        });
    }
    BookFrames many;
    for (std::int64_t i = 0; i < 32; ++i) many.add(BEST_BID - 3 * i, i % 3 == 0 ? "0.00000000" : "2.50000000");
    many.finish();
    measure("book, update of 32 levels", [&](std::size_t n) {
        for (std::size_t i = 0; i < n; ++i) kept += book.apply(many.levels.data(), 32, nullptr, 0, false) == 0;
    }, 100);
    measure("book, volume of 100 levels taken", [&](std::size_t n) {
        for (std::size_t i = 0; i < n; ++i) kept += book.take(hft::BOOK_ASK, 150.0).levels;
    }, 100);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) {
        std::fprintf(stderr, "usage: %s FRAMES SEGMENT\n", argv[0]);
        return 2;
    }
    measure_frames(argv[1]);
    measure_rings();
    measure_shared_memory(argv[2]);
    measure_topics();
    measure_histogram();
    measure_book();
    measure_codec("ticker", ticker());
    measure_codec("trade", trade());
    return kept == 0;
}
