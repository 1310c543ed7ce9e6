// Kills a writer before and after each of its stores and system calls, and looks at what is left. No Python.
//
//   shm_crash FOLDER
//
// The writer is a child process that opens a segment, adds symbols, publishes items and events beyond a lap, and
// closes. It dies by SIGKILL at its n-th crash point, for n = 1, 2, … until it comes through. Each time: what a reader
// that was there has taken or knows to have lost is what the dead one published; nothing torn; nobody can join the
// dead segment; the next writer takes the path, and the reader sees that it has to move; a clean close leaves nothing.
// Done for an empty folder, for one with a dead writer's segment, and for one with files that are no segments.
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

static void crash_point();
#define HFT_CRASH_POINT() crash_point()

#include "hftcore/shm_segment.hpp"

using namespace hft::shm;

static long crash_at = -1;
static long crash_count = 0;

static void crash_point() {
    if (crash_at < 0) return;
    if (++crash_count == crash_at) {
        kill(getpid(), SIGKILL);
        for (;;) pause();
    }
}

namespace {

constexpr std::uint64_t CAPACITY = 4;
const Shape SHAPE{CAPACITY, 8, KIND_TICKER, 3, 7};
long at = 0;
const char* scene = "";

[[noreturn]] void fail(const char* what, std::uint64_t expected, std::uint64_t found) {
    std::fprintf(stderr, "%s, crash point %ld: %s, expected %llu, was %llu\n", scene, at, what,
                 static_cast<unsigned long long>(expected), static_cast<unsigned long long>(found));
    std::exit(1);
}

void expect(const char* what, std::uint64_t expected, std::uint64_t found) {
    if (expected != found) fail(what, expected, found);
}

// Shared by parent and child.
struct Progress {
    std::atomic<std::uint64_t> opened, attached, started, done, closed;
};

void fill(std::uint64_t number, std::uint64_t* words) {
    for (std::uint64_t w = 0; w < 8; ++w) words[w] = (number + 1) * 0x9E3779B97F4A7C15ull * (w + 1);
    words[7] = 0;
}

void live_a_life(const std::string& path, Progress* progress) {
    Trouble trouble;
    auto segment = Segment::create(path, SHAPE, &trouble);
    if (!segment) {
        std::fprintf(stderr, "%s\n", trouble.text.c_str());
        _exit(3);
    }
    progress->opened = 1;
    while (progress->attached == 0) usleep(50);
    Writer writer(segment->view());
    for (std::uint64_t number = 0; number < 11; ++number) {
        if (number % 4 == 0) {
            const std::string name = "s" + std::to_string(number) + "/usd";
            if (writer.append_symbol(name.c_str(), name.size()) < 0) _exit(4);
        }
        ++progress->started;
        if (number % 5 == 2) {
            writer.publish_event("an event", 8);
        } else {
            std::uint64_t words[8];
            fill(number, words);
            writer.publish(words, 1 + static_cast<std::uint32_t>(number / 4));
        }
        ++progress->done;
    }
    if (writer.sleepers()) notify(*segment->view().park);
    segment->close();
    progress->closed = 1;
}

// Takes everything; how many positions it passed.
void drain(Reader& reader, std::uint64_t* events) {
    for (;;) {
        Record record;
        switch (reader.next(&record)) {
            case STEP_EMPTY:
                return;
            case STEP_ITEM: {
                std::uint64_t words[8];
                fill(record.position, words);
                for (int w = 0; w < 7; ++w) expect("word", words[w], record.item[w]);
                expect("symbol", 1 + record.position / 4, record.symbol);
                break;
            }
            case STEP_EVENT: {
                char text[EVENT_TEXT_BYTES];
                expect("bytes of an event", 8, static_cast<std::uint64_t>(reader.event(record.topicSeq, text)));
                expect("an event", 0, static_cast<std::uint64_t>(std::memcmp(text, "an event", 8)));
                ++*events;
                break;
            }
            case STEP_LAPPED:
            case STEP_UNKNOWN:
                while (reader.learned() < reader.symbol_count()) {
                    char text[SYMBOL_BYTES];
                    const int bytes = reader.symbol_text(reader.learned(), text);
                    if (reader.learned() != 0) {
                        const std::string name = "s" + std::to_string((reader.learned() - 1) * 4) + "/usd";
                        expect("a symbol", 0, name != std::string(text, static_cast<std::size_t>(bytes)));
                    }
                    Record last;
                    reader.learn(true, false, &last);
                }
                reader.sweep();
                break;
            case STEP_GAP:
                break;
            default:
                fail("step", STEP_ITEM, STEP_BAD);
        }
    }
}

int files_in(const std::string& folder) {
    int count = 0;
    DIR* opened = opendir(folder.c_str());
    while (const dirent* entry = readdir(opened)) count += entry->d_name[0] != '.';
    closedir(opened);
    return count;
}

// Whether the writer died at crash point n.
bool die_at(const std::string& folder, const std::string& path, long n, Progress* progress) {
    at = n;
    std::memset(static_cast<void*>(progress), 0, sizeof *progress);
    const pid_t child = fork();
    if (child == 0) {
        crash_at = n;
        live_a_life(path, progress);
        _exit(0);
    }
    int status = 0;
    bool ended = false;
    while (progress->opened == 0 && !ended) {
        ended = waitpid(child, &status, WNOHANG) == child;
        if (!ended) usleep(50);
    }
    Trouble trouble;
    std::unique_ptr<Segment> ours;
    Reader reader;
    std::uint64_t events = 0;
    if (progress->opened != 0) {
        ours = Segment::attach(path, KIND_TICKER, &trouble);
        if (!ours) fail(trouble.text.c_str(), 1, 0);
        ours->join();
        reader.attach(ours->view(), true);
        progress->attached = 1;
        while (!ended) {
            ended = waitpid(child, &status, WNOHANG) == child;
            if (n % 3 != 0) drain(reader, &events);  // else it is lapped
        }
        drain(reader, &events);
        const std::uint64_t published = reader.taken() + reader.lost();
        if (published < progress->done || published > progress->started) fail("published", progress->done, published);
        if (reader.head() > published) fail("head", published, reader.head());
        expect("a writer that lives", 0, ours->writer_alive());
    }
    const bool died = WIFSIGNALED(status);
    if (!died) expect("exit status", 0, static_cast<std::uint64_t>(status));
    {
        // A late reader finds none, or one whose writer is dead.
        auto late = Segment::attach(path, KIND_TICKER, &trouble);
        if (late) expect("a late reader's writer that lives", 0, late->writer_alive());
    }
    auto next = Segment::create(path, SHAPE, &trouble);
    if (!next) fail(trouble.text.c_str(), 1, 0);
    expect("a second owner", 0, Segment::create(path, SHAPE, &trouble) != nullptr);
    if (ours) expect("the old one's reader sees that it has to move", 1, !live(ours->view()) || ours->moved());
    auto moved = Segment::attach(path, KIND_TICKER, &trouble);
    if (!moved) fail(trouble.text.c_str(), 1, 0);
    expect("the new writer lives", 1, moved->writer_alive());
    Reader again;
    again.attach(moved->view(), true);
    Writer writer(next->view());
    writer.append_symbol("s0/usd", 6);
    for (std::uint64_t number = 0; number < 3; ++number) {
        std::uint64_t words[8];
        fill(number, words);
        writer.publish(words, 1);
    }
    drain(again, &events);
    expect("taken from the new one", 3, again.taken());
    next->close();
    expect("files left", 0, static_cast<std::uint64_t>(files_in(folder)));
    return died;
}

void put_garbage(const std::string& path) {
    for (const char* suffix : {"", ".new", ".lock"}) {
        const int fd = open((path + suffix).c_str(), O_CREAT | O_WRONLY, 0600);
        if (write(fd, "garbage", 7) != 7) std::exit(2);
        close(fd);
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    const std::string folder = argv[1], path = folder + "/crash.shm";
    auto* progress = static_cast<Progress*>(
        mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    long total = 0;
    for (int kind = 0; kind < 3; ++kind) {
        scene = kind == 0 ? "empty folder" : (kind == 1 ? "a dead writer's segment" : "garbage");
        for (long n = 1;; ++n, ++total) {
            if (kind == 1) {
                const pid_t other = fork();
                if (other == 0) {
                    Trouble trouble;
                    auto left = Segment::create(path, SHAPE, &trouble);
                    kill(getpid(), SIGKILL);
                }
                waitpid(other, nullptr, 0);
            } else if (kind == 2) {
                put_garbage(path);
            }
            if (!die_at(folder, path, n, progress)) {
                if (progress->closed == 0) fail("closed", 1, 0);
                break;
            }
        }
    }
    std::printf("%ld crash points\n", total);
    return 0;
}
