// The templates of order books among the hot paths of paths.cpp.
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>

#include "hftcore/book_decoder.hpp"

using Path = std::function<void(std::size_t)>;

extern "C" void hft_measured(const Path* path, std::size_t operations);
void measure_book_decode(const std::string& name, std::uint8_t exchange, const std::string& frame);

void measure_book_decode(const std::string& name, std::uint8_t exchange, const std::string& frame) {
    hft::BookDecoder decoder;
    decoder.set_exchange(exchange);
    decoder.decode(frame.data(), frame.size(), 1);
    for (std::size_t i = 0; i < decoder.count(); ++i) decoder.learn(i, static_cast<std::int32_t>(i));
    decoder.decode(frame.data(), frame.size(), 1);
    if (decoder.count() == 0 || decoder.unknown() != 0 || decoder.template_hits() != 2) {
        std::fprintf(stderr, "%s must be updates that a template reads\n", name.c_str());
        std::exit(1);
    }
    const Path path = [&decoder, &frame](std::size_t n) {
        for (std::size_t i = 0; i < n; ++i) {
            decoder.decode(frame.data(), frame.size(), 1);
            asm volatile("" : : "g"(&decoder) : "memory");
        }
    };
    constexpr std::size_t OPERATIONS = 200;
    hft_measured(&path, OPERATIONS);
    std::printf("decode %s\t%zu\n", name.c_str(), OPERATIONS);
}
