// Sleeping until a writer has published, with the writer's steps between the reader's, and the watcher of an event loop.
// No Python.
//
//   park_check FOLDER
//
// shm_park.hpp calls HFT_STEP_POINT between the reader's steps. Here the writer publishes there, in the same thread, so
// that nothing depends on the schedule. A sleep that nobody ends is none that is waited for: it would end by itself after
// a tick, so the state in which the reader goes to sleep is what is checked.
// Exit status 1 and a line on standard error at the first violation.
#include <poll.h>

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>

static std::function<void(const char*)> at_step;
#define HFT_STEP_POINT(name) \
    if (at_step) at_step(name)
#include "hftcore/shm_segment.hpp"

using namespace hft::shm;

namespace {

constexpr std::int64_t SECOND = 1'000'000'000;

void expect(const char* what, std::uint64_t expected, std::uint64_t found) {
    if (expected == found) return;
    std::fprintf(stderr, "violated: %s, expected %" PRIu64 ", was %" PRIu64 "\n", what, expected, found);
    std::_Exit(1);
}

std::unique_ptr<Segment> create(const std::string& path) {
    Trouble trouble;
    auto segment = Segment::create(path, Shape{16, 16, KIND_TICKER, 3, 1}, &trouble);
    if (!segment) {
        std::fprintf(stderr, "%s\n", trouble.text.c_str());
        std::_Exit(2);
    }
    return segment;
}

struct Publishing {
    explicit Publishing(Segment& segment) : view(segment.view()), writer(view) { writer.append_symbol("a/b", 3); }

    void publish() {
        std::uint64_t words[8] = {};
        writer.publish(words, 1);
        ++count;
    }

    const View view;
    Writer writer;
    std::uint64_t count = 0;
};

// The writer publishes, looks for sleepers and wakes them while the reader is at `point`, for the first time there.
void publish_at(Publishing& side, const char* point, bool sleeper_seen) {
    std::uint32_t armed = 0;
    bool done = false;
    at_step = [&](const char* step) {
        if (std::strcmp(step, "parks") == 0) {
            expect("something to read as the reader goes to sleep", 0, Reader::ready(side.view, side.count));
        }
        if (std::strcmp(step, "armed") == 0) armed = side.view.park->word.load();
        if (done || std::strcmp(step, point) != 0) return;
        done = true;
        side.publish();
        --side.count;  // the reader still waits for this one
        expect("a sleeper that the writer sees", sleeper_seen, side.writer.sleepers());
        if (!sleeper_seen) return;
        notify(*side.view.park);
        expect("a sleeper after all were woken", 0, side.writer.sleepers());
        // Another reader that arms now must not let this one fall asleep again.
        arm(side.view.park->word);
        expect("a word that keeps its value", 0, side.view.park->word.load() == armed);
        notify(*side.view.park);
    };
    expect("told of a message", 1, wait_for(side.view, side.count, 0, 600 * SECOND));
    at_step = nullptr;
    expect("the writer's turn", 1, done);
    ++side.count;
    expect("more than one message", 0, Reader::ready(side.view, side.count));
}

void check_waits(const std::string& path) {
    auto segment = create(path);
    Publishing side(*segment);
    side.publish();
    expect("told of a message that is there", 1, wait_for(side.view, 0, 0, 0));
    for (int turn = 0; turn < 40; ++turn) {
        publish_at(side, "arms", false);
        publish_at(side, "armed", true);
        publish_at(side, "parks", true);
        if (side.writer.sleepers()) notify(*side.view.park);  // who armed and found something does not disarm
    }
    expect("told of nothing", 0, wait_for(side.view, side.count, 0, 1000));
    expect("told of nothing after a spin", 0, wait_for(side.view, side.count, 1000, 2000));
    at_step = [&](const char* step) {
        if (std::strcmp(step, "arms") == 0) segment->close();
    };
    expect("told of a message as the writer ends", 0, wait_for(side.view, side.count, 0, 600 * SECOND));
    at_step = nullptr;
}

class Loop {
public:
    Loop() {
        if (pipe(fds_) != 0) std::_Exit(2);
        for (const int fd : fds_) fcntl(fd, F_SETFL, O_NONBLOCK);
    }
    ~Loop() {
        for (const int fd : fds_) close(fd);
    }

    int fd() const { return fds_[1]; }

    // How many signals have come, once the first is there; 0 if none comes.
    std::size_t signals(int limit_ms) const {
        pollfd waiting{fds_[0], POLLIN, 0};
        if (poll(&waiting, 1, limit_ms) != 1) return 0;
        std::this_thread::sleep_for(std::chrono::milliseconds(60));  // three ticks of a watcher that goes on signalling
        std::uint64_t words[64];
        const ssize_t size = read(fds_[0], words, sizeof words);
        return size < 0 ? 0 : static_cast<std::size_t>(size) / 8;
    }

private:
    int fds_[2];
};

struct stat found_at(const std::string& path) {
    struct stat found {};
    stat(path.c_str(), &found);
    return found;
}

void check_watcher(const std::string& path) {
    auto segment = create(path);
    Publishing side(*segment);
    const struct stat here = found_at(path);
    Loop loop;
    {
        const View view = side.view;
        Watcher watcher(path, loop.fd(), &view, here.st_dev, here.st_ino, 0);
        for (int turn = 0; turn < 10; ++turn) {
            expect("armed", 1, watcher.arm_at(side.count));
            if (turn < 2) expect("signals of messages that were read", 0, loop.signals(60));
            side.publish();
            if (side.writer.sleepers()) notify(*side.view.park);
            expect("signals of a message", 1, loop.signals(10'000));
            // What is there already is not slept for.
            side.publish();
            expect("armed though there is something to read", 0, watcher.arm_at(side.count - 1));
        }
        // Nobody is armed: nothing is signalled.
        side.publish();
        notify(*side.view.park);
        expect("signals to a loop that is awake", 0, loop.signals(60));
        expect("armed", 1, watcher.arm_at(side.count));
        segment->close();
        if (side.writer.sleepers()) notify(*side.view.park);
        expect("signals of the writer's end", 1, loop.signals(10'000));
        expect("armed at a writer that has ended", 0, watcher.arm_at(side.count));
    }
    // Without a segment, until a file appears; with one, until another stands in its place.
    {
        Watcher watcher(path, loop.fd(), nullptr, 0, 0, 0);
        expect("armed", 1, watcher.arm_at(0));
        expect("signals of no file", 0, loop.signals(60));
        segment = create(path);
        expect("signals of a file that appeared", 1, loop.signals(10'000));
    }
    {
        const View view = segment->view();
        const struct stat now = found_at(path);
        Watcher watcher(path, loop.fd(), &view, now.st_dev, now.st_ino, 0);
        expect("armed", 1, watcher.arm_at(0));
        expect("signals of the file that is mapped", 0, loop.signals(60));
        const std::string moved = path + ".old";
        std::rename(path.c_str(), moved.c_str());
        std::FILE* const other = std::fopen(path.c_str(), "w");  // any file: nobody looks into it
        expect("signals of another file", 1, loop.signals(10'000));
        std::fclose(other);
        std::rename(moved.c_str(), path.c_str());
    }
    segment->close();
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    check_waits(std::string(argv[1]) + "/waits.shm");
    check_watcher(std::string(argv[1]) + "/watcher.shm");
    std::printf("ok\n");
    return 0;
}
