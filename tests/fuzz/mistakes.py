"""Mistakes in the readers and parsers, each of which the fuzzers must find."""

# Mistakes in single readers: (header, right, wrong).
FIELD_MISTAKES: dict[str, tuple[str, str, str]] = {
    "a leading zero passes": ("scan.hpp", "if (whole > 1 && *p_ == '0') return false;", ""),
    "nine digits before the point": ("scan.hpp", "if (static_cast<unsigned>(whole - 1) < 8) {", "if (whole > 0) {"),
    "no digit behind the point": (
        "scan.hpp",
        "static_cast<unsigned>(places - 1) < 8 && follows",
        "places < 9 && follows",
    ),
    "what follows is not looked at": ("scan.hpp", " && follows<QUOTED>(p_ + size, next)", ""),
    "wrong power of ten": ("words.hpp", "1e6, 1e7, 1e8}", "1e6, 1e7, 1e9}"),
    "a mantissa that is no exact double": ("scan_slow.hpp", "mantissa > std::uint64_t{1} << 53", "false"),
    "inexact product": ("number.hpp", "d.mantissa <= (std::uint64_t{1} << 53) && ", ""),
    "power beyond 22": ("number.hpp", "d.exponent <= 22)", "d.exponent <= 23)"),
    "eight bytes where fewer are left": (
        "words.hpp",
        "return left <= 0 ? 0 : load8(end - 8) >> (8 * (8 - left));",
        "return left <= 0 ? 0 : load8(p);",
    ),
    "sixteen bytes where fewer are left": ("scan.hpp", "while (left() >= 16) {", "while (left() >= 8) {"),
    "only what is special is plain": ("words.hpp", "_mm_andnot_si128(special, plain))) ^ 0xffffu;", "special));"),
    "second 60": ("event_time.hpp", "second > 59", "second > 60"),
    "a minute too long": ("scan.hpp", "tens < 6 && ones < 10", "tens < 7 && ones < 10"),
    "no leap year": ("event_time.hpp", "(month == 2 && leap)", "0"),
    "20 digits": ("scan_slow.hpp", "stop - p > 19", "stop - p > 20"),
    "ten digits of fraction": ("event_time.hpp", "if (count == 9) return false;", ""),
    "seconds overflow": ("scan.hpp", "if (us > INT64_MAX / 1'000) return false;", ""),
    "a lost spelling": (
        "short_symbols.hpp",
        "if (slot.id != MISSING) place(larger, slot);",
        "if (slot.id > 0) place(larger, slot);",
    ),
    "two points": ("scan.hpp", "(points & (points - 1)) != 0 || ", ""),
    "an exponent without digits": ("scan_slow.hpp", "return p == digits ? nullptr : p;", "return p;"),
    "a number before the last sixteen bytes": ("scan.hpp", "all >> (16 + before) << 16;", "all >> 16 << 16;"),
    "a last number of nine digits": ("scan_slow.hpp", "load8(p + count - 8) ^ swar::ZEROS;", "load8(p) ^ swar::ZEROS;"),
    "a prefix of any length": (
        "topic.hpp",
        "if (length > topic.size()) return false;\n",
        "if (length > topic.size()) return true;\n",
    ),
}

# Mistakes in the venues' templates and around them: (exchange, header, right, wrong).
PARSER_MISTAKES: dict[str, tuple[str, str, str, str]] = {
    "no closing brace": ("binance", "binance_template.hpp", 'scan.literal("}") && scan.at_end();', "scan.at_end();"),
    "the frame's end is not looked at": (
        "kraken",
        "kraken_template.hpp",
        'return scan.literal("]}") && scan.at_end();',
        'return scan.literal("]}");',
    ),
    "bid and ask swapped": ("kraken", "kraken_template.hpp", "ticker.bidPrice = bid;", "ticker.bidPrice = ask;"),
    "events of a refused frame stay": (
        "binance",
        "frame_decoder.hpp",
        "noexcept {\n        batch_.clear();\n        try",
        "noexcept {\n        try",
    ),
    "events of a template that gave up stay": (
        "kraken",
        "frame_decoder.hpp",
        "batch_.clear();\n            batch_.flags = flags;\n",
        "batch_.flags = flags;\n",
    ),
    "an inexact quotient": (
        "kraken",
        "number.hpp",
        "? value / POWERS[-d.exponent]",
        "? value * (1 / POWERS[-d.exponent])",
    ),
    "every trade an aggregate": ("okx", "okx_template.hpp", "if (count > 1) trade", "if (count > 0) trade"),
    "when the book changed, not when that was published": (
        "binance_future",
        "binance_usdm_template.hpp",
        "ticker.exchangeTimeNs = published_ns;",
        "ticker.exchangeTimeNs = changed_ns;",
    ),
}

# Mistakes in the codec of the messages between processes: (header, right, wrong).
CODEC_MISTAKES: dict[str, tuple[str, str, str]] = {
    "a length beyond the message": ("protobuf_wire.hpp", "if (length > left()) return FAULT_TRUNCATED;", ""),
    "seven bytes are eight": ("protobuf_wire.hpp", "if (left() < 8) return", "if (left() < 7) return"),
    "any text is UTF-8": ("market_codec.hpp", "if (!wire::is_utf8(text, size)) return wire::FAULT_UTF8;", ""),
    "fields mixed up": ("market_codec.hpp", "next.fixed64(9, item.price)", "next.fixed64(9, item.volume)"),
    "groups without end": ("protobuf_wire.hpp", "if (--depth < 0) return FAULT_DEPTH;", "--depth;"),
}
