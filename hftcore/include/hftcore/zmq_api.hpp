// libzmq's C calls by address, and the buffers that libzmq holds of ours.
//
// pyzmq's wheels carry their own libzmq, under a name that changes; its calls are found by address at run time, so
// that nothing is linked and both see the same sockets. Source: the manual pages of zmq_send, zmq_msg_init_data.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdlib>

namespace hft {

// zmq_msg_t: 64 bytes, aligned as a pointer (zmq.h, since libzmq 4.1).
struct alignas(void*) ZmqMessage {
    unsigned char opaque[64];
};
static_assert(sizeof(ZmqMessage) == 64);

struct ZmqApi {
    int (*send)(void* socket, const void* data, std::size_t size, int flags);
    int (*msg_init)(ZmqMessage* message);
    int (*msg_init_data)(ZmqMessage* message, void* data, std::size_t size, void (*release)(void*, void*), void* hint);
    int (*msg_recv)(ZmqMessage* message, void* socket, int flags);
    int (*msg_send)(ZmqMessage* message, void* socket, int flags);
    int (*msg_close)(ZmqMessage* message);
    void* (*msg_data)(ZmqMessage* message);
    std::size_t (*msg_size)(const ZmqMessage* message);
    int (*error_number)();
};

// Objects that libzmq is done with. Its threads must not wait for the GIL (whoever holds it may wait for them), so
// they only put the object on this list; whoever sends next, with the GIL, lets go of it. Any number of threads put,
// and one at a time takes all. Source: Treiber 1986 (the push; taking everything at once has no ABA problem).
class ReleaseList {
public:
    struct Entry {
        void* object;
        Entry* next;
    };

    static Entry* entry(void* object) noexcept {
        auto* made = static_cast<Entry*>(std::malloc(sizeof(Entry)));
        if (made != nullptr) made->object = object;
        return made;
    }

    // The free function of zmq_msg_init_data; `hint` is the entry.
    static void release(void*, void* hint) noexcept {
        auto* done = static_cast<Entry*>(hint);
        done->next = head_.load(std::memory_order_relaxed);
        // release: pairs with the acquire in take_all; relaxed on failure, since nothing is read through it
        while (!head_.compare_exchange_weak(done->next, done, std::memory_order_release, std::memory_order_relaxed)) {
        }
    }

    static bool empty() noexcept { return head_.load(std::memory_order_relaxed) == nullptr; }

    // acquire: pairs with the release above; the entries are whole
    static Entry* take_all() noexcept { return head_.exchange(nullptr, std::memory_order_acquire); }

    // Frees an entry; returns the next one.
    static Entry* drop(Entry* done) noexcept {
        Entry* next = done->next;
        std::free(done);
        return next;
    }

private:
    static inline std::atomic<Entry*> head_{nullptr};
};

}  // namespace hft
