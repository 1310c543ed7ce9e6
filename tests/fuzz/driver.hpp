// The two ways to run a target: by libFuzzer (clang, -fsanitize=fuzzer, -DHFT_LIBFUZZER), or by the driver below with
// any compiler: PROGRAM [name] seeds-file iterations random-seed. The seeds stand one in a line.
//
// A target whose inputs are no text defines HFT_OWN_SEEDS and own_seeds; the file of seeds is then not read.
// A target defines `bool one_input(std::string_view)` (true: went deep, mutate it again) and `void begin(const char*)`.
#pragma once

#include <cinttypes>
#include <fstream>

#include "mutate.hpp"

#if defined(__SANITIZE_ADDRESS__)
extern "C" void __sanitizer_set_death_callback(void (*)(void));
#endif

namespace fuzz {

bool one_input(std::string_view input);
// `name`: what of the target is meant; `seeds` are well-formed inputs.
void begin(const char* name, const std::vector<std::string>& seeds);
// What was counted, for the last line of the output.
std::string summary();

#if defined(HFT_OWN_SEEDS)
std::vector<std::string> own_seeds();
#endif

inline std::vector<std::string> lines_of(const char* path) {
#if defined(HFT_OWN_SEEDS)
    (void)path;
    return own_seeds();
#endif
    std::ifstream file(path, std::ios::binary);
    if (!file) {
        std::fprintf(stderr, "seeds must be a readable file, was %s\n", path);
        std::exit(2);
    }
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    if (lines.empty()) {
        std::fprintf(stderr, "seeds must have at least one line: %s\n", path);
        std::exit(2);
    }
    return lines;
}

inline int drive(int argc, char** argv) {
    if (argc != 5) {
        std::fprintf(stderr, "usage: %s NAME SEEDS ITERATIONS RANDOM_SEED\n", argv[0]);
        return 2;
    }
    const std::uint64_t count = std::strtoull(argv[3], nullptr, 10);
    const std::uint64_t seed = std::strtoull(argv[4], nullptr, 10);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_set_death_callback([] { show("the sanitizer's last input"); });
#endif
    Random random(seed);
    Mutator mutator(random, lines_of(argv[2]));
    begin(argv[1], mutator.seeds());
    for (std::uint64_t i = 0; i < count; ++i) {
        // The seeds themselves come first.
        current_input = i < mutator.seeds().size() ? mutator.seeds()[i] : mutator.next();
        current_source = std::string(argv[1]) + ", seed " + std::to_string(seed) + ", iteration " + std::to_string(i);
        if (one_input(current_input)) mutator.keep(current_input);
    }
    std::printf("%s: %" PRIu64 " inputs, seed %" PRIu64 ": %s\n", argv[1], count, seed, summary().c_str());
    return 0;
}

}  // namespace fuzz

#if defined(HFT_LIBFUZZER)
extern "C" int LLVMFuzzerInitialize(int*, char***) {
    const char* const seeds = std::getenv("HFTPY_FUZZ_SEEDS");
    const char* const name = std::getenv("HFTPY_FUZZ_NAME");
    if (seeds == nullptr || name == nullptr) {
        std::fprintf(stderr, "HFTPY_FUZZ_NAME and HFTPY_FUZZ_SEEDS must be set\n");
        std::exit(2);
    }
    fuzz::begin(name, fuzz::lines_of(seeds));
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::current_input.assign(reinterpret_cast<const char*>(data), size);
    fuzz::one_input(fuzz::current_input);
    return 0;
}
#else
int main(int argc, char** argv) { return fuzz::drive(argc, argv); }
#endif
