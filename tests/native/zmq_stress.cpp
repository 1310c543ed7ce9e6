// The ZeroMQ headers without Python: buffers given back by many threads, heartbeats through publication and tracker,
// mutated heartbeats. Exits with 1 and a line on standard error where something is wrong.
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "hftcore/publication.hpp"
#include "hftcore/sequence_tracker.hpp"
#include "hftcore/zmq_api.hpp"

namespace {

void require(bool good, const char* what) {
    if (good) return;
    std::fprintf(stderr, "wrong: %s\n", what);
    std::exit(1);
}

// Each thread writes its objects, and gives them back; all come out once, as they were written.
void release_list(long items) {
    constexpr int THREADS = 3;
    std::vector<std::vector<long>> objects(THREADS, std::vector<long>(static_cast<std::size_t>(items)));
    std::vector<std::thread> threads;
    for (int t = 0; t < THREADS; ++t) {
        threads.emplace_back([&, t] {
            for (long i = 0; i < items; ++i) {
                long& object = objects[static_cast<std::size_t>(t)][static_cast<std::size_t>(i)];
                object = t * items + i + 1;
                hft::ReleaseList::release(nullptr, hft::ReleaseList::entry(&object));
            }
        });
    }
    long found = 0;
    std::vector<bool> seen(static_cast<std::size_t>(THREADS * items) + 1);
    while (found < THREADS * items) {
        for (auto* done = hft::ReleaseList::take_all(); done != nullptr; done = hft::ReleaseList::drop(done)) {
            const long value = *static_cast<long*>(done->object);
            require(value > 0 && value <= THREADS * items && !seen[static_cast<std::size_t>(value)], "release list");
            seen[static_cast<std::size_t>(value)] = true;
            ++found;
        }
    }
    for (std::thread& thread : threads) thread.join();
    require(hft::ReleaseList::empty(), "release list: more than was given");
}

std::string topic_of(unsigned number) {
    std::string name = "t" + std::to_string(number);
    name.resize(32, ' ');
    return name;
}

// A publication's heartbeats, read by a tracker that has seen some of the messages: the numbers must agree.
void heartbeats(long items, std::mt19937_64& rng) {
    hft::Publication publication(3, 77);
    hft::SequenceTracker tracker;
    tracker.follow(77);
    tracker.greet();
    std::map<std::string, std::uint64_t> sent, accounted;
    for (int number = 0; number < 500; ++number) {
        const std::string name = topic_of(static_cast<unsigned>(number));
        publication.add_pair(number, name.data(), name.data(), 5);
    }
    for (long i = 0; i < items; ++i) {
        hft::Ticker ticker{};
        ticker.symbol = static_cast<std::int32_t>(rng() % 500);
        ticker.bidPrice = static_cast<double>(rng() % 3);
        hft::PublishedTopic* topic = publication.encode(ticker);
        publication.sent(*topic);
        const std::string name(topic->frame, 0, 32);
        ++sent[name];
        if (rng() % 4 != 0) {
            const hft::TrackedVerdict verdict = tracker.on_message(name.data(), 77, topic->seq, false);
            require(verdict.deliver && !verdict.restarted, "verdict");
            accounted[name] += verdict.lost + 1;
        }
        if (i % 997 == 0 || i + 1 == items) {
            const std::string body = publication.heartbeat(i + 1 == items || rng() % 2);
            // In memory of exactly its size, so that the sanitizer sees every byte read beyond it.
            std::unique_ptr<char[]> exact(new char[body.size()]);
            std::memcpy(exact.get(), body.data(), body.size());
            hft::HeartbeatReader reader(exact.get(), body.size());
            const char* state;
            std::uint64_t seq;
            while (reader.next(state, seq)) {
                const std::string found(state, 32);
                require(seq == sent[found], "heartbeat's number");
                accounted[found] += tracker.heartbeat(tracker.topics().get(state), seq);
                require(accounted[found] == seq, "received + lost");
            }
            require(reader.good() && reader.epoch == 77, "heartbeat");
        }
    }
    require(sent == accounted, "received + lost = sent");
}

void mutated_heartbeats(long items, std::mt19937_64& rng) {
    hft::Publication publication(3, 77);
    for (int number = 0; number < 4; ++number) {
        const std::string name = topic_of(static_cast<unsigned>(number));
        publication.sent(publication.topic(name.data()), name.data(), 32, true);
    }
    const std::string whole = publication.hello(false), beat = publication.heartbeat(true);
    for (long i = 0; i < items; ++i) {
        std::string body = rng() % 4 ? beat : whole;
        for (std::uint64_t n = rng() % 4; n > 0 && !body.empty(); --n) {
            const std::size_t at = rng() % body.size();
            if (rng() % 2) body[at] = static_cast<char>(rng());
            else body.erase(at, 1 + rng() % 3);
        }
        std::unique_ptr<char[]> exact(new char[body.size()]);
        std::memcpy(exact.get(), body.data(), body.size());
        hft::HeartbeatReader reader(exact.get(), body.size());
        const char* state;
        std::uint64_t seq, sum = 0;
        while (reader.next(state, seq)) sum += static_cast<unsigned char>(state[31]) + seq;
        if (sum == 1) std::fputs("", stdout);
    }
}

}  // namespace

int main(int count, char** words) {
    const long items = count > 1 ? std::atol(words[1]) : 20'000;
    const std::uint64_t seed = count > 2 ? std::strtoull(words[2], nullptr, 10) : 1;
    std::mt19937_64 rng(seed);
    release_list(items);
    heartbeats(items, rng);
    mutated_heartbeats(items, rng);
}
