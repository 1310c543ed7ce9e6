// Which messages of a publisher a subscriber has missed. No sockets here.
//
// Each topic counts from 1 within an epoch of its publisher. A joiner is sent a Hello (the last seq of each topic)
// and, marked as resent, the last value of each of its topics; the two may come in either order, and messages may
// stand between them. Rules:
//
// - The first message of a topic is measured against the Hello; a resent value starts the topic instead, since
//   whatever stood between the Hello and it was sent before the subscriber had joined.
// - A Hello on a later connection shows what was lost while there was none, up to the value about to be resent.
// - A heartbeat shows what is missing at the tail.
// - A higher epoch, or a Hello of another one, is a new publisher: everything starts anew.
#pragma once

#include <cstdint>
#include <cstring>

#include "hftcore/protobuf_wire.hpp"
#include "hftcore/topic_map.hpp"

namespace hft {

// What is known of a topic: its numbers, and the symbol that stood in its last message.
struct TrackedTopic {
    enum Wanted : std::uint8_t { NOT_ASKED, UNWANTED, WANTED };

    TopicKey key{};
    std::uint64_t last = 0;
    std::uint64_t baseline = 0;  // from a Hello or a heartbeat; no message seen yet
    bool hasLast = false;
    bool hasBaseline = false;
    Wanted wanted = NOT_ASKED;
    std::uint8_t symbolSize = 0;  // 0: none was learnt
    std::int32_t symbol = -1;
    char symbolText[64];
};

struct TrackedVerdict {
    bool deliver;
    bool restarted;
    std::uint64_t lost;
};

class SequenceTracker {
public:
    // hot path: begin
    // The topic of a message whose symbol is the one that was learnt and which is the next of its topic, or has no
    // number; its number is taken. Null: on_message has to judge.
    const TrackedTopic* next(const char* topic, std::uint64_t epoch, std::uint64_t seq, const char* symbol,
                             std::size_t symbol_size) noexcept {
        TrackedTopic* found = topics_.find(topic);
        if (found == nullptr || found->symbolSize != symbol_size || symbol_size == 0 ||
            std::memcmp(found->symbolText, symbol, symbol_size) != 0) {
            return nullptr;
        }
        if (seq != 0) {
            if (epoch != epoch_ || !found->hasLast || seq != found->last + 1) return nullptr;
            found->last = seq;
        }
        return found;
    }
    // hot path: end

    // From now on `next` knows this symbol in the topic.
    void learn(const char* topic, const char* symbol, std::size_t size, std::int32_t number) {
        if (size == 0 || size > sizeof(TrackedTopic::symbolText)) return;
        TrackedTopic& found = topics_.get(topic);
        std::memcpy(found.symbolText, symbol, size);
        found.symbolSize = static_cast<std::uint8_t>(size);
        found.symbol = number;
    }

    TrackedVerdict on_message(const char* topic, std::uint64_t epoch, std::uint64_t seq, bool resent) {
        if (seq == 0) return {true, false, 0};
        if (epoch < epoch_) return {false, false, 0};
        const bool restarted = follow(epoch);
        TrackedTopic& found = topics_.get(topic);
        std::uint64_t lost = 0;
        if (found.hasLast) {
            if (seq <= found.last) return {false, false, 0};
            lost = seq - found.last - 1;
        } else if (!resent && (found.hasBaseline || greeted_)) {
            const std::uint64_t baseline = found.hasBaseline ? found.baseline : 0;
            lost = seq > baseline ? seq - baseline - 1 : 0;
        }
        found.hasBaseline = false;
        found.hasLast = true;
        found.last = seq;
        return {true, restarted, lost};
    }

    // A new publisher, if it is one.
    bool follow(std::uint64_t epoch) noexcept {
        if (epoch == epoch_) return false;
        const bool restarted = epoch_ != 0;
        epoch_ = epoch;
        greeted_ = false;
        for (TrackedTopic& topic : topics_) topic.hasLast = topic.hasBaseline = false;
        return restarted;
    }

    void greet() noexcept { greeted_ = true; }

    // One topic of a Hello, after follow and greet; returns how many messages are lost.
    std::uint64_t hello(TrackedTopic& topic, std::uint64_t seq) noexcept {
        if (!topic.hasLast) {
            topic.hasBaseline = true;
            topic.baseline = seq;
            return 0;
        }
        if (seq <= topic.last) return 0;
        const std::uint64_t lost = seq - topic.last - 1;
        topic.last = seq - 1;  // the value `seq` itself is resent, or is found missing by what follows
        return lost;
    }

    // One topic of a heartbeat, after follow; returns how many messages are lost.
    std::uint64_t heartbeat(TrackedTopic& topic, std::uint64_t seq) noexcept {
        if (topic.hasLast) {
            if (seq <= topic.last) return 0;
            const std::uint64_t lost = seq - topic.last;
            topic.last = seq;
            return lost;
        }
        const bool known = topic.hasBaseline || greeted_;
        const std::uint64_t baseline = topic.hasBaseline ? topic.baseline : 0;
        topic.hasBaseline = true;
        topic.baseline = seq;
        return known && seq > baseline ? seq - baseline : 0;
    }

    TopicMap<TrackedTopic>& topics() noexcept { return topics_; }
    std::uint64_t epoch() const noexcept { return epoch_; }

private:
    TopicMap<TrackedTopic> topics_;
    std::uint64_t epoch_ = 0;
    bool greeted_ = false;
};

// Reads a Control that holds a heartbeat and nothing else, as our publishers spell it: the epoch, then one heartbeat
// of topics (32 bytes) and numbers. Whatever else there is, and whatever is malformed, is left to the general decoder.
class HeartbeatReader {
public:
    HeartbeatReader(const char* data, std::size_t size) noexcept
        : in_{reinterpret_cast<const unsigned char*>(data), reinterpret_cast<const unsigned char*>(data) + size} {
        const char* body;
        std::size_t length;
        std::uint32_t tag;
        good_ = in_.next_tag(tag) == wire::FAULT_NONE && tag == wire::tag(2, wire::FIXED64) &&
                in_.fixed64(epoch) == wire::FAULT_NONE && in_.next_tag(tag) == wire::FAULT_NONE &&
                tag == wire::tag(3, wire::LENGTH) && in_.bytes(body, length) == wire::FAULT_NONE && in_.at == in_.end;
        if (good_) in_.at = reinterpret_cast<const unsigned char*>(body);
    }

    // The next topic and its number; false at the end, or where good() turns false.
    bool next(const char*& topic, std::uint64_t& seq) noexcept {
        if (!good_ || in_.at == in_.end) return false;
        const char* state;
        std::size_t size;
        std::uint32_t tag;
        good_ = in_.next_tag(tag) == wire::FAULT_NONE && tag == wire::tag(1, wire::LENGTH) &&
                in_.bytes(state, size) == wire::FAULT_NONE;
        if (!good_) return false;
        const auto* start = reinterpret_cast<const unsigned char*>(state);
        wire::Reader inner{start, start + size};
        good_ = inner.next_tag(tag) == wire::FAULT_NONE && tag == wire::tag(1, wire::LENGTH) &&
                inner.bytes(topic, size) == wire::FAULT_NONE && size == 32 &&
                inner.next_tag(tag) == wire::FAULT_NONE && tag == wire::tag(2, wire::VARINT) &&
                inner.varint(seq) == wire::FAULT_NONE && inner.at == inner.end;
        return good_;
    }

    bool good() const noexcept { return good_; }

    std::uint64_t epoch = 0;

private:
    wire::Reader in_;
    bool good_;
};

}  // namespace hft
