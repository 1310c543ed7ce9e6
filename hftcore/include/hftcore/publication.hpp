// The topics of one publisher's address: their numbers, their last frames, and the frames that tell about them.
//
// A frame is built in the topic's own buffer, so that what was sent last can be sent again to a joiner without ever
// having been copied. Two pairs whose letters are the same share a topic, and so its numbers; what is constant in
// their messages (epoch, exchange, symbol) is kept per pair. One thread at a time.
#pragma once

#include <cstdint>
#include <cstring>
#include <deque>
#include <string>
#include <vector>

#include "hftcore/market_codec.hpp"
#include "hftcore/topic_map.hpp"

namespace hft {

constexpr std::size_t TOPIC_BYTES = 32;

struct PublishedTopic {
    TopicKey key{};
    std::uint64_t seq = 0;
    std::string frame;          // the last one, or room for the next; its first 32 bytes are the topic
    std::size_t frameSize = 0;  // 0: there is none to be sent again
    std::uint8_t reports = 0;   // in how many further heartbeats it stands; not 0: it is listed in unreported_
};

class Publication {
public:
    // How many heartbeats name a topic after its last message: one alone could be lost like any other frame.
    static constexpr std::uint8_t REPORTS = 3;
    // How long a Hello may get by the last messages in it; what is left of MAX_FRAME_BYTES (hftpy/ipc/transport.py) is
    // room for the numbers of 90,000 topics.
    static constexpr std::size_t MAX_HELLO_VALUES = std::size_t{12} << 20;

    Publication(std::uint8_t exchange, std::uint64_t epoch) : exchange_(exchange), epoch_(epoch) {}

    PublishedTopic& topic(const char* name) {
        PublishedTopic& found = topics_.get(name);
        // Room for every topic, so that `sent` never allocates.
        if (unreported_.capacity() < topics_.size()) unreported_.reserve(topics_.size() * 2);
        return found;
    }
    PublishedTopic* find(const char* name) const noexcept { return topics_.find(name); }

    bool knows(std::int32_t symbol) const noexcept {
        return static_cast<std::size_t>(symbol) < pairs_.size() && pairs_[static_cast<std::size_t>(symbol)] != nullptr;
    }

    void add_pair(std::int32_t symbol, const char* topic_name, const char* text, std::size_t size) {
        Pair& pair = pair_store_.emplace_back();
        pair.topic = &topic(topic_name);
        if (pair.topic->frame.size() < TOPIC_BYTES + MAX_MARKET_MESSAGE) {
            pair.topic->frame.resize(TOPIC_BYTES + MAX_MARKET_MESSAGE);
            std::memcpy(&pair.topic->frame[0], topic_name, TOPIC_BYTES);
        }
        pair.size = static_cast<std::size_t>(
            put_constants(pair.constants, epoch_, false, exchange_, text, size) - pair.constants);
        const auto index = static_cast<std::size_t>(symbol);
        if (index >= pairs_.size()) pairs_.resize(index + 1 + index / 2, nullptr);
        pairs_[index] = &pair;
    }

    // hot path: begin
    // The next frame of a pair that is known: stands in the topic's buffer. It counts once `sent` was called.
    template <class Struct>
    PublishedTopic* encode(const Struct& item) noexcept {
        const Pair& pair = *pairs_[static_cast<std::size_t>(item.symbol)];
        PublishedTopic& topic = *pair.topic;
        char* const body = &topic.frame[TOPIC_BYTES];
        char* at = wire::put_varint_field(body, 1, topic.seq + 1);
        std::memcpy(at, pair.constants, pair.size);
        at = put_struct(at + pair.size, item);
        topic.frameSize = TOPIC_BYTES + static_cast<std::size_t>(at - body);
        return &topic;
    }

    void sent(PublishedTopic& topic) noexcept {
        ++topic.seq;
        ++sentCount;
        if (topic.reports != REPORTS) report(topic);
    }
    // hot path: end

    // A frame that was made elsewhere was sent; keep it for joiners, or not.
    void sent(PublishedTopic& topic, const char* frame, std::size_t size, bool keep) {
        if (keep) {
            topic.frame.assign(frame, size);
            topic.frameSize = size;
        }
        sent(topic);
    }

    // The last frame as a joiner is sent it: marked as resent. Empty where there is none.
    std::string again(const PublishedTopic& topic) const {
        std::string frame(topic.frame, 0, topic.frameSize);
        if (topic.frameSize != 0) frame += "\x18\x01";  // field 3 set; protobuf lets fields stand in any order
        return frame;
    }

    // What was sent is no longer true: whoever joins is told it no more. All topics where there is no name.
    void forget(const char* name) noexcept {
        for (PublishedTopic& topic : topics_) {
            if (name == nullptr || std::memcmp(topic.key.words, name, TOPIC_BYTES) == 0) topic.frameSize = 0;
        }
    }

    // The body of a Control with a heartbeat: the topics sent since the last ones, or all.
    std::string heartbeat(bool everything) {
        std::string states;
        if (everything) {
            for (PublishedTopic& topic : topics_) put_state(states, topic, false);
        } else {
            for (PublishedTopic* topic : unreported_) put_state(states, *topic, false);
        }
        std::size_t kept = 0;
        for (PublishedTopic* topic : unreported_) {
            if (--topic->reports != 0) unreported_[kept++] = topic;
        }
        unreported_.resize(kept);
        return control(3, states);
    }

    // The body of a Control with a Hello: all topics, with their last messages where the joiner subscribed everything,
    // as far as there is room: a peer closes its connection at a frame that is too long.
    std::string hello(bool with_values) {
        std::string states;
        for (PublishedTopic& topic : topics_) {
            put_state(states, topic, with_values && states.size() + topic.frameSize <= MAX_HELLO_VALUES);
        }
        return control(4, states);
    }

    std::uint64_t sentCount = 0;

private:
    struct Pair {
        PublishedTopic* topic;
        std::size_t size;
        char constants[96];  // epoch 9, exchange 3, symbol 66
    };
    static_assert(sizeof(Pair::constants) >= 9 + 3 + 2 + MAX_SYMBOL_TEXT);

    void report(PublishedTopic& topic) noexcept {
        if (topic.reports == 0) unreported_.push_back(&topic);
        topic.reports = REPORTS;
    }

    static void put_state(std::string& out, const PublishedTopic& topic, bool with_value) {
        if (topic.seq == 0) return;
        const std::size_t value = with_value && topic.frameSize != 0 ? topic.frameSize - TOPIC_BYTES : 0;
        std::size_t size = 2 + TOPIC_BYTES + 1 + wire::varint_size(topic.seq);
        if (value != 0) size += 1 + wire::varint_size(value) + value;
        char head[32];
        char* at = head;
        *at++ = static_cast<char>(wire::tag(1, wire::LENGTH));
        at = wire::put_varint(at, size);
        *at++ = static_cast<char>(wire::tag(1, wire::LENGTH));
        *at++ = static_cast<char>(TOPIC_BYTES);
        out.append(head, static_cast<std::size_t>(at - head));
        out.append(reinterpret_cast<const char*>(topic.key.words), TOPIC_BYTES);
        at = wire::put_varint_field(head, 2, topic.seq);
        if (value != 0) {
            *at++ = static_cast<char>(wire::tag(3, wire::LENGTH));
            at = wire::put_varint(at, value);
        }
        out.append(head, static_cast<std::size_t>(at - head));
        if (value != 0) out.append(topic.frame, TOPIC_BYTES, value);
    }

    std::string control(std::uint32_t field, const std::string& body) const {
        char head[32];
        char* at = wire::put_fixed64_field(head, 2, epoch_);
        *at++ = static_cast<char>(wire::tag(field, wire::LENGTH));
        at = wire::put_varint(at, body.size());
        std::string out(head, static_cast<std::size_t>(at - head));
        return out += body;
    }

    const std::uint8_t exchange_;
    const std::uint64_t epoch_;
    TopicMap<PublishedTopic> topics_;
    std::deque<Pair> pair_store_;
    std::vector<Pair*> pairs_;  // by the pair's number
    std::vector<PublishedTopic*> unreported_;
};

}  // namespace hft
