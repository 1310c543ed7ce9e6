// Broken protobuf messages: nothing outside of them is touched, what is read is what a slow reading gives, what is
// refused has a reason, and whatever was read is written and read again to the same.
#include <map>
#include <type_traits>

#define HFT_OWN_SEEDS
#include "driver.hpp"
#include "hftcore/market_codec.hpp"

namespace {

std::uint64_t decoded = 0, refused = 0, written = 0;
fuzz::GuardedPages pages;

// The slow reading: field by field, without regard to their usual order. Source: protobuf.dev, encoding.
struct Slow {
    bool right = false;
    std::map<std::uint32_t, std::uint64_t> varints, fixed64s;
    std::string text;
};

struct SlowReader {
    std::string_view in;
    std::size_t at = 0;

    bool varint(std::uint64_t* value, std::size_t most = 10) {
        *value = 0;
        for (std::size_t i = 0; i < most; ++i) {
            if (at == in.size()) return false;
            const auto byte = static_cast<unsigned char>(in[at++]);
            if (i < 10) *value |= static_cast<std::uint64_t>(byte & 0x7f) << (7 * i);
            if (byte < 0x80) return true;
        }
        return false;
    }

    bool tag(std::uint32_t* field, std::uint32_t* type) {
        std::uint64_t value;
        if (!varint(&value, 5) || value > 0xffffffff) return false;
        *field = static_cast<std::uint32_t>(value >> 3);
        *type = static_cast<std::uint32_t>(value & 7);
        return true;
    }

    bool bytes(std::string_view* out) {
        std::uint64_t size;
        if (!varint(&size, 5) || size > 0x7fffffff || size > in.size() - at) return false;
        *out = in.substr(at, size);
        at += size;
        return true;
    }

    bool skip(std::uint32_t field, std::uint32_t type, int depth) {
        std::uint64_t number;
        std::string_view text;
        switch (type) {
            case 0:
                return varint(&number);
            case 1:
            case 5: {
                const std::size_t size = type == 1 ? 8 : 4;
                if (in.size() - at < size) return false;
                at += size;
                return true;
            }
            case 2:
                return bytes(&text);
            case 3:
                if (depth == hft::wire::MAX_DEPTH) return false;
                for (;;) {
                    std::uint32_t inner, inner_type;
                    if (!tag(&inner, &inner_type)) return false;
                    if (inner_type == 4) return inner == field;
                    if (!skip(inner, inner_type, depth + 1)) return false;
                }
            default:
                return false;
        }
    }
};

bool is_utf8(std::string_view text) {
    for (std::size_t i = 0; i < text.size();) {
        const auto byte = [&text, i](std::size_t k) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[i + k])); };
        const std::uint32_t first = byte(0);
        const std::size_t size = first < 0x80 ? 1 : first >> 5 == 6 ? 2 : first >> 4 == 14 ? 3 : first >> 3 == 30 ? 4 : 0;
        if (size == 0 || text.size() - i < size) return false;
        std::uint32_t code = size == 1 ? first : first & (0xff >> (size + 1));
        for (std::size_t k = 1; k < size; ++k) {
            if (byte(k) >> 6 != 2) return false;
            code = code << 6 | (byte(k) & 0x3f);
        }
        static constexpr std::uint32_t LEAST[] = {0, 0, 0x80, 0x800, 0x10000};
        if (code < LEAST[size] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return false;
        i += size;
    }
    return true;
}

// `varints` and `fixed64s`: bit n is set where field n is of that type.
Slow slowly(std::string_view message, std::uint32_t varints, std::uint32_t fixed64s) {
    Slow slow;
    SlowReader reader{message};
    while (reader.at != message.size()) {
        std::uint32_t field, type;
        if (!reader.tag(&field, &type) || field == 0) return slow;
        std::uint64_t number = 0;
        if (type == 0 && field < 32 && varints >> field & 1) {
            if (!reader.varint(&number)) return slow;
            slow.varints[field] = number;
        } else if (type == 1 && field < 32 && fixed64s >> field & 1) {
            if (message.size() - reader.at < 8) return slow;
            std::memcpy(&number, message.data() + reader.at, 8);
            reader.at += 8;
            slow.fixed64s[field] = number;
        } else if (type == 2 && field == 5) {
            std::string_view text;
            if (!reader.bytes(&text) || !is_utf8(text)) return slow;
            slow.text = text;
        } else if (!reader.skip(field, type, 0)) {
            return slow;
        }
    }
    slow.right = true;
    return slow;
}

template <typename Number>
std::uint64_t bits(Number value) {
    static_assert(sizeof value == 8);
    std::uint64_t word;
    std::memcpy(&word, &value, 8);
    return word;
}

void check_fields(const hft::Ticker& item, Slow& slow) {
    FUZZ_CHECK(bits(item.bidPrice) == slow.fixed64s[8] && bits(item.bidVolume) == slow.fixed64s[9], "the bid");
    FUZZ_CHECK(bits(item.askPrice) == slow.fixed64s[10] && bits(item.askVolume) == slow.fixed64s[11], "the ask");
    FUZZ_CHECK(item.seq == slow.varints[12], "the venue's seq");
}

void check_fields(const hft::Trade& item, Slow& slow) {
    FUZZ_CHECK(bits(item.tradeTimeNs) == slow.fixed64s[8], "the trade's time");
    FUZZ_CHECK(bits(item.price) == slow.fixed64s[9] && bits(item.volume) == slow.fixed64s[10], "the trade's amounts");
    FUZZ_CHECK(bits(item.tradeId) == slow.varints[11] && item.seq == slow.varints[13], "the trade's numbers");
}

template <typename Struct>
constexpr std::uint32_t FLAGS_FIELD = std::is_same_v<Struct, hft::Ticker> ? 13 : 14;

template <typename Struct>
void check_message(std::string_view input) {
    constexpr bool IS_TICKER = std::is_same_v<Struct, hft::Ticker>;
    constexpr std::uint32_t COMMON = 1u << 1 | 1u << 3 | 1u << 4;
    constexpr std::uint32_t VARINTS = COMMON | (IS_TICKER ? 1u << 12 | 1u << 13 : 1u << 11 | 1u << 12 | 1u << 13 | 1u << 14);
    constexpr std::uint32_t FIXED64S = 1u << 2 | 1u << 6 | 1u << 7 | (IS_TICKER ? 0xfu << 8 : 7u << 8);
    Slow slow = slowly(input, VARINTS, FIXED64S);
    Struct item;
    hft::Envelope rest;
    std::memset(static_cast<void*>(&item), 0xa5, sizeof item);
    std::memset(static_cast<void*>(&rest), 0xa5, sizeof rest);
    const bool right = hft::decode_message(input.data(), input.size(), item, rest);
    FUZZ_CHECK(right == slow.right, "whether it is a message");
    if (!right) {
        ++refused;
        FUZZ_CHECK(rest.fault != hft::wire::FAULT_NONE && rest.faultAt < input.size(), "the fault and its place");
        return;
    }
    ++decoded;
    FUZZ_CHECK(rest.fault == hft::wire::FAULT_NONE, "no fault");
    FUZZ_CHECK(std::string_view(rest.symbol == nullptr ? "" : rest.symbol, rest.symbolSize) == slow.text, "the symbol");
    if (rest.symbolSize != 0) {
        FUZZ_CHECK(rest.symbol >= input.data() && rest.symbol + rest.symbolSize <= input.data() + input.size(), "where it is");
    }
    FUZZ_CHECK(rest.seq == slow.varints[1] && rest.epoch == slow.fixed64s[2], "seq and epoch");
    FUZZ_CHECK(rest.resent == (slow.varints[3] != 0), "resent");
    FUZZ_CHECK(rest.exchange == static_cast<std::int32_t>(slow.varints[4]), "the exchange");
    FUZZ_CHECK(rest.flags == static_cast<std::uint32_t>(slow.varints[FLAGS_FIELD<Struct>]), "the flags");
    if constexpr (!IS_TICKER) FUZZ_CHECK(rest.side == static_cast<std::int32_t>(slow.varints[12]), "the side");
    FUZZ_CHECK(bits(item.exchangeTimeNs) == slow.fixed64s[6] && bits(item.localTimeNs) == slow.fixed64s[7], "the times");
    check_fields(item, slow);
    // Written and read again.
    if (rest.symbolSize > hft::MAX_SYMBOL_TEXT) return;
    item.exchange = static_cast<std::uint8_t>(rest.exchange);
    item.flags = static_cast<std::uint16_t>(rest.flags);
    if constexpr (!IS_TICKER) item.side = static_cast<std::uint8_t>(rest.side);
    const std::unique_ptr<char[]> out(new char[hft::MAX_MARKET_MESSAGE]);
    const std::size_t size =
        hft::encode_message(out.get(), rest.seq, rest.epoch, rest.resent, rest.symbol, rest.symbolSize, item);
    FUZZ_CHECK(size <= hft::MAX_MARKET_MESSAGE, "the size");
    Struct again;
    hft::Envelope envelope;
    FUZZ_CHECK(hft::decode_message(out.get(), size, again, envelope), "what was written is a message");
    FUZZ_CHECK(envelope.seq == rest.seq && envelope.epoch == rest.epoch && envelope.resent == rest.resent, "the envelope again");
    FUZZ_CHECK(std::string_view(envelope.symbol == nullptr ? "" : envelope.symbol, envelope.symbolSize) == slow.text, "the symbol again");
    again.exchange = static_cast<std::uint8_t>(envelope.exchange);
    again.flags = static_cast<std::uint16_t>(envelope.flags);
    if constexpr (!IS_TICKER) again.side = static_cast<std::uint8_t>(envelope.side);
    FUZZ_CHECK(std::memcmp(&again, &item, sizeof item) == 0, "the struct again");
    ++written;
}

template <typename Struct>
std::string message_of(std::uint64_t seq, std::string_view symbol, double number) {
    Struct item{};
    item.exchangeTimeNs = 1'772'368'245'123'456'789;
    item.localTimeNs = -1;
    item.seq = seq * 1'000'003;
    item.exchange = 3;
    item.flags = 4;
    if constexpr (std::is_same_v<Struct, hft::Ticker>) {
        item.bidPrice = number;
        item.askPrice = -number;
        item.askVolume = 1e300;
    } else {
        item.price = number;
        item.volume = 2;
        item.tradeId = -1;
        item.side = 2;
    }
    char out[hft::MAX_MARKET_MESSAGE];
    return {out, hft::encode_message(out, seq, seq << 32, seq % 2 == 0, symbol.data(), symbol.size(), item)};
}

}  // namespace

std::vector<std::string> fuzz::own_seeds() {
    std::vector<std::string> seeds;
    for (const std::uint64_t seq : {0ull, 1ull, 127ull, 128ull, 70'000ull, ~0ull}) {
        for (const char* symbol : {"btc/usdt", "", "\xe5\xb8\x81/usdt", "a/b:c"}) {
            seeds.push_back(message_of<hft::Ticker>(seq, symbol, 64001.1));
            seeds.push_back(message_of<hft::Trade>(seq, symbol, 0.0));
        }
    }
    // Groups, unknown fields, long varints, other wire types.
    seeds.insert(seeds.end(), {std::string("\x0b\x0c", 2), std::string("\xa3\x06\xa4\x06", 4), std::string("\x78\x01\x7d\x01\x02\x03\x04", 7),
                               std::string("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11), std::string(150, '\x0b') + std::string(150, '\x0c'),
                               std::string(100, '\x7b') + std::string(100, '\x7c'), std::string(101, '\x7b') + std::string(101, '\x7c'),
                               std::string("\x0a\x01\x05\x10\x01\x2a\x03\xe2\x82\xac", 10), std::string("\x2a\x03\xed\xa0\x80", 5)});
    return seeds;
}

void fuzz::begin(const char*, const std::vector<std::string>&) {}

bool fuzz::one_input(std::string_view input) {
    const ExactCopy copy(input);
    check_message<hft::Ticker>(copy.view());
    check_message<hft::Trade>(copy.view());
    if (input.size() <= GuardedPages::BYTES) {
        check_message<hft::Ticker>(pages.at_end(input));
        check_message<hft::Trade>(pages.at_end(input));
    }
    return input.size() > 8 && slowly(input, 0, 0).right;
}

std::string fuzz::summary() {
    return std::to_string(decoded) + " decoded, " + std::to_string(refused) + " refused, " + std::to_string(written) + " written again";
}
