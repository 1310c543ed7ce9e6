// SymbolTable beside std::unordered_map: the same answers for random texts of every length, NUL bytes among them. Each
// text stands at the very end of its own allocation, so that AddressSanitizer sees what is read behind it.
//
//   symbol_table_check SEED
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <unordered_map>

#include "hftcore/symbol_table.hpp"

int main(int, char** arguments) {
    std::mt19937_64 random(std::strtoull(arguments[1], nullptr, 10));
    hft::SymbolTable table;
    std::unordered_map<std::string, std::int32_t> model;
    for (std::int32_t round = 0; round < 300'000; ++round) {
        // Few letters and mostly short: the same texts, their prefixes and their endings come again and again.
        std::string text(random() % (round % 3 == 0 ? 40 : 14), 'a');
        for (char& letter : text) letter = "ab/\0\xff"[random() % 5];
        const std::unique_ptr<char[]> exact(new char[text.size()]);
        std::memcpy(exact.get(), text.data(), text.size());
        const auto known = model.find(text);
        const std::int32_t wanted = known == model.end() ? hft::SymbolTable::MISSING : known->second;
        const std::int32_t found = table.find(exact.get(), text.size());
        if (found != wanted) {
            std::fprintf(stderr, "round %d: a text of %zu bytes must be %d, was %d\n", round, text.size(), wanted, found);
            return 1;
        }
        if (random() % 3 == 0) {
            table.insert(std::string_view(exact.get(), text.size()), round);
            model[text] = round;
        }
        if (table.size() != model.size()) {
            std::fprintf(stderr, "round %d: size must be %zu, was %zu\n", round, model.size(), table.size());
            return 1;
        }
    }
    std::printf("%zu texts\n", model.size());
}
