// Memory for many objects of one size that are read at random: they lie side by side in pieces of 2 MiB, each of which the
// system may map by one huge page, so that neither malloc's gaps nor the page table cost an access of its own.
//
// The first piece is mapped page by page as it is used: a process with a few objects does not pay for 2 MiB. A piece without
// objects is given back, except for one.
// Any thread. Under a sanitizer every block is malloc's, so that it is watched.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <new>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define HFT_WATCHED_MEMORY 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HFT_WATCHED_MEMORY 1
#endif

namespace hft {

template <std::size_t SIZE>
class BlockPool {
public:
    static constexpr std::size_t PIECE = std::size_t{2} << 20;
    static constexpr std::size_t LINE = 64;
    static_assert(SIZE % LINE == 0 && SIZE <= PIECE / 8);
    // Of a piece; its head takes one line.
    static constexpr std::size_t BLOCKS = (PIECE - LINE) / SIZE;

    BlockPool() = default;
    BlockPool(const BlockPool&) = delete;
    BlockPool& operator=(const BlockPool&) = delete;
    ~BlockPool() {
        while (open_ != nullptr && open_->used == 0) drop(open_);
    }

    // A block on a cache line's border. Throws std::bad_alloc.
    void* take() {
#if defined(HFT_WATCHED_MEMORY)
        void* const block = std::aligned_alloc(LINE, SIZE);
        if (block == nullptr) throw std::bad_alloc();
        return block;
#else
        const std::lock_guard<std::mutex> guard(mutex_);
        if (open_ == nullptr) add();
        Piece* const piece = open_;
        void* block = piece->unused;
        if (block != nullptr) {
            piece->unused = *static_cast<void**>(block);
        } else {
            block = reinterpret_cast<char*>(piece) + LINE + SIZE * piece->begun++;
        }
        if (++piece->used == BLOCKS) unlink(piece);
        return block;
#endif
    }

    // What `take` gave.
    void give(void* block) noexcept {
#if defined(HFT_WATCHED_MEMORY)
        std::free(block);
#else
        const std::lock_guard<std::mutex> guard(mutex_);
        auto* const piece = reinterpret_cast<Piece*>(reinterpret_cast<std::uintptr_t>(block) & ~(PIECE - 1));
        *static_cast<void**>(block) = piece->unused;
        piece->unused = block;
        if (piece->used-- == BLOCKS) link(piece);
        if (piece->used == 0 && (piece->next != nullptr || piece->previous != nullptr)) drop(piece);
#endif
    }

    std::size_t pieces() const noexcept { return pieces_; }

private:
    struct Piece {
        Piece* next;  // of those that have room
        Piece* previous;
        void* unused;  // blocks that were given back, each points to the next
        std::uint32_t begun;
        std::uint32_t used;
    };
    static_assert(sizeof(Piece) <= LINE);

    void link(Piece* piece) noexcept {
        piece->previous = nullptr;
        piece->next = open_;
        if (open_ != nullptr) open_->previous = piece;
        open_ = piece;
    }

    void unlink(Piece* piece) noexcept {
        (piece->previous != nullptr ? piece->previous->next : open_) = piece->next;
        if (piece->next != nullptr) piece->next->previous = piece->previous;
        piece->next = piece->previous = nullptr;
    }

    void add() {
        void* const memory = std::aligned_alloc(PIECE, PIECE);
        if (memory == nullptr) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
        // A wish: where it is refused, small pages do.
        if (pieces_ != 0) (void)madvise(memory, PIECE, MADV_HUGEPAGE);
#endif
        ++pieces_;
        link(new (memory) Piece{});
    }

    void drop(Piece* piece) noexcept {
        unlink(piece);
        --pieces_;
        std::free(piece);
    }

    std::mutex mutex_;
    Piece* open_ = nullptr;  // those with room
    std::size_t pieces_ = 0;
};

// A class whose objects stand in a pool of their own.
template <typename Object>
class Pooled {
public:
    static void* operator new(std::size_t) { return pool().take(); }
    static void operator delete(void* block) noexcept {
        if (block != nullptr) pool().give(block);
    }
    // In memory that somebody else has.
    static void* operator new(std::size_t, void* place) noexcept { return place; }
    static void operator delete(void*, void*) noexcept {}

private:
    static auto& pool() {
        static_assert(alignof(Object) <= 64);
        static BlockPool<(sizeof(Object) + 63) / 64 * 64> instance;
        return instance;
    }
};

}  // namespace hft
