// The memory of a Snapshot's levels: blocks of 256, 512, … bytes, the largest for 2 * 256 levels. Of those that died, up to
// 64 of each size are kept for the next ones.
//
// A Snapshot holds a SnapshotBlock, whose destructor gives the memory back: the interpreter is not asked to put an exception
// aside for that, as it is for a `__dealloc__`. All calls hold the GIL, which guards the lists of unused blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace hft {

class SnapshotBlock {
public:
    SnapshotBlock() noexcept = default;
    SnapshotBlock(const SnapshotBlock&) = delete;
    SnapshotBlock& operator=(const SnapshotBlock&) = delete;
    ~SnapshotBlock() {
        if (__builtin_expect(at_ != nullptr, 0)) give();
    }

    // Once, and at most SMALLEST << (CLASSES - 1) bytes. nullptr: no memory.
    double* take(std::size_t bytes) noexcept {
        class_ = 0;
        while (SMALLEST << class_ < bytes) ++class_;
        Unused& unused = unused_[class_];
        at_ = unused.count != 0 ? unused.blocks[--unused.count] : static_cast<double*>(std::malloc(SMALLEST << class_));
        return at_;
    }

private:
    static constexpr std::size_t CLASSES = 6, SMALLEST = 256, KEPT = 64;

    struct Unused {
        double* blocks[KEPT];
        std::size_t count;
    };

    void give() noexcept {
        Unused& unused = unused_[class_];
        if (unused.count < KEPT) {
            unused.blocks[unused.count++] = at_;
        } else {
            std::free(at_);
        }
    }

    static inline Unused unused_[CLASSES] = {};

    double* at_ = nullptr;
    std::uint8_t class_ = 0;
};

}  // namespace hft
