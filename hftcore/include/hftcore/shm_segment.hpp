// The file of a segment: made by one owner, mapped by any reader, never trusted.
//
// An exclusive flock on `{path}.lock` makes the owner; a second one is refused. The owner builds the segment under
// `{path}.new` and renames it over the old one, so that a reader finds the old file, none, or a whole one. It also
// holds a flock on the segment itself, which nobody but its readers ever asks for: that is how they know whether the
// writer lives. The kernel gives both back when the process dies. A new owner marks the segment of a dead one as
// replaced, so that its readers move over. Each reader holds a lock on one byte of the file, for the writer to count.
//
// Sizes are checked by fstat and the header is read by pread before anything is mapped: a file that is truncated,
// foreign or of another version is an error in words. What a segment says of its own layout is compared, not used.
#pragma once

#include <sys/file.h>
#include <sys/mman.h>
#if defined(__linux__)
#include <linux/magic.h>
#include <sys/vfs.h>
#endif

#include <memory>

#include "hftcore/shm_park.hpp"

namespace hft::shm {

enum Failure { FAILURE_NONE, FAILURE_IN_USE, FAILURE_UNUSABLE, FAILURE_MISSING, FAILURE_NO_MEMORY };

struct Trouble {
    Failure kind = FAILURE_NONE;
    int error = 0;
    std::string text;
};

struct Shape {
    std::uint64_t capacity;
    std::uint32_t maxSymbols;
    std::uint32_t kind;
    std::uint32_t exchange;
    std::uint64_t epoch;
};

class Segment {
public:
    Segment(const Segment&) = delete;
    Segment& operator=(const Segment&) = delete;

    // Takes the path, and makes a fresh segment there. Null, and `trouble` says why, if it cannot.
    static std::unique_ptr<Segment> create(const std::string& path, const Shape& shape, Trouble* trouble) {
        std::unique_ptr<Segment> made(new Segment(path));
        made->lockFd_ = made->lock(trouble);
        if (made->lockFd_ < 0) return nullptr;
        if (!made->build(shape, trouble)) {
            made->give_up();
            return nullptr;
        }
        return made;
    }

    // Maps the segment at the path for reading. Null, and `trouble` says why, if it cannot.
    static std::unique_ptr<Segment> attach(const std::string& path, std::uint32_t kind, Trouble* trouble) {
        std::unique_ptr<Segment> found(new Segment(path));
        if (!found->open_to_read(kind, trouble)) return nullptr;
        return found;
    }

    ~Segment() {
        if (owner_ && pid_ == getpid()) close();
        release();
    }

    // Owner: readers are told that this is the end, and nothing stays behind.
    void close() noexcept {
        if (!owner_ || pid_ != getpid()) return;
        end(view_, STATE_CLOSED);
        remove_own(path_, fd_);
        HFT_CRASH_POINT();
        owner_ = false;
        drop_lock();
    }

    // In a forked child: the parent's locks must end with the parent.
    void disown() noexcept {
        owner_ = false;
        if (lockFd_ >= 0) ::close(lockFd_);
        if (fd_ >= 0) ::close(fd_);
        lockFd_ = fd_ = -1;
    }

    // Reader: whether the writer's process lives and has not closed.
    bool writer_alive() const noexcept {
        if (!live(view_)) return false;
        if (flock(fd_, LOCK_SH | LOCK_NB) == 0) {
            flock(fd_, LOCK_UN);
            return false;
        }
        return true;
    }

    // Reader: whether another file stands at the path now.
    bool moved() const noexcept {
        struct stat ours, found;
        if (lstat(path_.c_str(), &found) != 0 || fstat(fd_, &ours) != 0) return false;
        return ours.st_dev != found.st_dev || ours.st_ino != found.st_ino;
    }

    // Owner: how many readers there are.
    int readers() const noexcept {
#if defined(F_OFD_GETLK)
        return locks_in(0, READER_LOCKS);
#else
        return 0;
#endif
    }

    struct stat file() const noexcept {
        struct stat found {};
        fstat(fd_, &found);
        return found;
    }
    const View& view() const noexcept { return view_; }
    int fd() const noexcept { return fd_; }
    const std::string& path() const noexcept { return path_; }
    std::size_t bytes() const noexcept { return bytes_; }

private:
    static constexpr off_t READER_LOCKS = 65536;

    explicit Segment(const std::string& path) : path_(path), pid_(getpid()) {}

    bool fail(Trouble* trouble, Failure kind, int error, const std::string& what) const {
        trouble->kind = kind;
        trouble->error = error;
        trouble->text = "segment " + path_ + " " + what + (error != 0 ? std::string(": ") + std::strerror(error) : "");
        return false;
    }

    // The descriptor of the lock, held; -1 if somebody else holds it.
    int lock(Trouble* trouble) {
        const std::string name = path_ + ".lock";
        for (;;) {
            HFT_CRASH_POINT();
            const int fd = open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
            if (fd < 0) {
                fail(trouble, errno == ENOENT ? FAILURE_MISSING : FAILURE_UNUSABLE, errno, "cannot be locked");
                return -1;
            }
            HFT_CRASH_POINT();
            if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
                const int error = errno;
                ::close(fd);
                if (error == EINTR) continue;
                if (error == EWOULDBLOCK) {
                    fail(trouble, FAILURE_IN_USE, 0, "is in use by another process or object");
                } else {
                    fail(trouble, FAILURE_UNUSABLE, error, "cannot be locked");
                }
                return -1;
            }
            HFT_CRASH_POINT();
            // The last owner unlinks the file while it holds the lock: a lock on an unlinked file is worth nothing.
            struct stat held, named;
            if (fstat(fd, &held) == 0 && lstat(name.c_str(), &named) == 0 && held.st_ino == named.st_ino &&
                held.st_dev == named.st_dev) {
                return fd;
            }
            ::close(fd);
        }
    }

    bool build(const Shape& shape, Trouble* trouble) {
        struct stat found;
        const bool stale = lstat(path_.c_str(), &found) == 0;
        if (stale && (!S_ISREG(found.st_mode) || found.st_uid != geteuid())) {
            return fail(trouble, FAILURE_UNUSABLE, 0, "is taken by something that is no file of ours");
        }
        const std::string fresh = path_ + ".new";
        unlink(fresh.c_str());  // of an owner that died in here
        HFT_CRASH_POINT();
        fd_ = open(fresh.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd_ < 0) return fail(trouble, FAILURE_UNUSABLE, errno, "cannot be made");
        HFT_CRASH_POINT();
        bytes_ = file_bytes(shape.capacity, shape.maxSymbols);
        if (!reserve(trouble)) return false;
        HFT_CRASH_POINT();
        int populate = 0;
#if defined(MAP_POPULATE)
        populate = MAP_POPULATE;  // so that publishing meets no page fault
#endif
        void* base = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | populate, fd_, 0);
        if (base == MAP_FAILED) return fail(trouble, FAILURE_NO_MEMORY, errno, "cannot be mapped");
        base_ = static_cast<char*>(base);
        if (flock(fd_, LOCK_EX | LOCK_NB) != 0) return fail(trouble, FAILURE_UNUSABLE, errno, "cannot be locked");
        HFT_CRASH_POINT();
        view_ = View(base_, base_ + PARK_OFFSET, shape.capacity, shape.maxSymbols);
        describe(*view_.header, shape);
        Writer(view_).append_symbol("", 0);  // the entry of events
        std::unique_ptr<Segment> old;
        if (stale) {
            Trouble ignored;
            old.reset(new Segment(path_));
            if (!old->open_to_read(0, &ignored)) old.reset();
        }
        HFT_CRASH_POINT();
        if (rename(fresh.c_str(), path_.c_str()) != 0) {
            return fail(trouble, FAILURE_UNUSABLE, errno, "cannot be named");
        }
        HFT_CRASH_POINT();
        if (old) old->retire();
        owner_ = true;
        return true;
    }

    bool reserve(Trouble* trouble) {
#if defined(__APPLE__)
        const int error = ftruncate(fd_, static_cast<off_t>(bytes_)) == 0 ? 0 : errno;
#else
        int error;
        // All of it now: a page that the file system cannot give later would be a SIGBUS.
        while ((error = posix_fallocate(fd_, 0, static_cast<off_t>(bytes_))) == EINTR) {
        }
#endif
        if (error == 0) return true;
        return fail(trouble, error == ENOSPC ? FAILURE_NO_MEMORY : FAILURE_UNUSABLE, error,
                    "of " + std::to_string(bytes_) + " bytes finds no room");
    }

    static void describe(Header& header, const Shape& shape) noexcept {
        header.layoutVersion = LAYOUT_VERSION;
        header.headerBytes = sizeof(Header);
        header.fileBytes = file_bytes(shape.capacity, shape.maxSymbols);
        header.epoch = shape.epoch;
        header.createdNs = monotonic_ns();
        header.capacity = shape.capacity;
        header.slotBytes = sizeof(Slot);
        HFT_CRASH_POINT();
        header.maxSymbols = shape.maxSymbols;
        header.symbolBytes = SYMBOL_BYTES;
        header.eventCount = EVENT_COUNT;
        header.eventBytes = sizeof(EventBlock);
        header.kind = shape.kind;
        header.exchange = shape.exchange;
        header.writerPid = static_cast<std::uint32_t>(getpid());
        HFT_CRASH_POINT();
        header.heartbeatNs.store(header.createdNs, std::memory_order_relaxed);
        header.state.store(STATE_LIVE, std::memory_order_relaxed);  // relaxed: the rename publishes the whole file
        HFT_CRASH_POINT();
        header.magic.store(MAGIC, std::memory_order_release);  // pairs with the pread of the file by name
        HFT_CRASH_POINT();
    }

    // Lets readers know that this segment has ended.
    static void end(const View& view, State state) noexcept {
        HFT_CRASH_POINT();
        view.header->state.store(state, std::memory_order_release);  // pairs with the acquire in live()
        HFT_CRASH_POINT();
        notify(*view.park);
        HFT_CRASH_POINT();
    }

    // The segment of a dead owner, mapped for reading: its header is written once more.
    void retire() noexcept {
        void* header = mmap(nullptr, sizeof(Header), PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
        if (header == MAP_FAILED) return;
        View writable = view_;
        writable.header = static_cast<Header*>(header);
        if (live(writable)) end(writable, STATE_REPLACED);
        munmap(header, sizeof(Header));
    }

    bool open_to_read(std::uint32_t kind, Trouble* trouble) {
        fd_ = open(path_.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd_ < 0) return fail(trouble, errno == ENOENT ? FAILURE_MISSING : FAILURE_UNUSABLE, errno, "cannot be opened");
        struct stat found;
        if (fstat(fd_, &found) != 0) return fail(trouble, FAILURE_UNUSABLE, errno, "cannot be opened");
        if (!S_ISREG(found.st_mode)) return fail(trouble, FAILURE_UNUSABLE, 0, "is no regular file");
        if (found.st_uid != owner_uid()) {
            return fail(trouble, FAILURE_UNUSABLE, 0, "belongs to user " + std::to_string(found.st_uid) + ", not to " +
                                                          std::to_string(owner_uid()));
        }
        if ((found.st_mode & 0077) != 0) return fail(trouble, FAILURE_UNUSABLE, 0, "is open to other users");
        alignas(64) char raw[sizeof(Header)];
        if (pread(fd_, raw, sizeof raw, 0) != static_cast<ssize_t>(sizeof raw)) {
            return fail(trouble, FAILURE_UNUSABLE, 0, "is truncated: it has no header");
        }
        const Header& header = *reinterpret_cast<const Header*>(raw);
        if (!fits(header, static_cast<std::uint64_t>(found.st_size), kind, trouble)) return false;
        bytes_ = header.fileBytes;
        void* base = mmap(nullptr, bytes_, PROT_READ, MAP_SHARED, fd_, 0);
        if (base == MAP_FAILED) return fail(trouble, FAILURE_NO_MEMORY, errno, "cannot be mapped");
        base_ = static_cast<char*>(base);
        void* page = mmap(nullptr, sizeof(ParkPage), PROT_READ | PROT_WRITE, MAP_SHARED, fd_, PARK_OFFSET);
        if (page == MAP_FAILED) return fail(trouble, FAILURE_NO_MEMORY, errno, "cannot be mapped");
        parkPage_ = static_cast<char*>(page);
        view_ = View(base_, parkPage_, header.capacity, header.maxSymbols);
        return true;
    }

    bool fits(const Header& header, std::uint64_t size, std::uint32_t kind, Trouble* trouble) const {
        const auto differs = [&](const char* what, std::uint64_t wanted, std::uint64_t was) {
            return fail(trouble, FAILURE_UNUSABLE, 0, std::string(what) + " must be " + std::to_string(wanted) +
                                                          ", was " + std::to_string(was));
        };
        if (header.magic.load(std::memory_order_relaxed) != MAGIC) {
            return fail(trouble, FAILURE_UNUSABLE, 0, "is no segment of hftpy: its magic number differs");
        }
        if (header.layoutVersion != LAYOUT_VERSION) return differs("layout version", LAYOUT_VERSION, header.layoutVersion);
        if (header.headerBytes != sizeof(Header)) return differs("header size", sizeof(Header), header.headerBytes);
        if (header.slotBytes != sizeof(Slot)) return differs("slot size", sizeof(Slot), header.slotBytes);
        if (header.symbolBytes != SYMBOL_BYTES) return differs("symbol size", SYMBOL_BYTES, header.symbolBytes);
        if (header.eventCount != EVENT_COUNT) return differs("event count", EVENT_COUNT, header.eventCount);
        if (header.eventBytes != sizeof(EventBlock)) return differs("event size", sizeof(EventBlock), header.eventBytes);
        if (header.capacity == 0 || (header.capacity & (header.capacity - 1)) != 0 || header.capacity > MAX_CAPACITY) {
            return fail(trouble, FAILURE_UNUSABLE, 0,
                        "capacity must be a power of two, was " + std::to_string(header.capacity));
        }
        if (header.maxSymbols == 0 || header.maxSymbols > MAX_SYMBOLS) return differs("symbol limit", MAX_SYMBOLS, header.maxSymbols);
        const std::uint64_t wanted = file_bytes(header.capacity, header.maxSymbols);
        if (header.fileBytes != wanted) return differs("size in the header", wanted, header.fileBytes);
        if (size != wanted) return differs("size of the file", wanted, size);
        if (kind != 0 && header.kind != kind) return differs("kind", kind, header.kind);
        return true;
    }

    // Whose files we read. A test says otherwise.
    static uid_t owner_uid() noexcept {
#if defined(HFT_SHM_OWNER_UID)
        return HFT_SHM_OWNER_UID;
#else
        return geteuid();
#endif
    }

public:
    // Reader: lets the writer count it. The lock ends with the descriptor.
    void join() noexcept {
        view_.park->joins.fetch_add(1, std::memory_order_relaxed);  // relaxed: a counter
#if defined(F_OFD_SETLK)
        for (off_t tries = 0; tries < READER_LOCKS; ++tries) {
            struct flock wanted = byte_lock(tries, 1);
            if (fcntl(fd_, F_OFD_SETLK, &wanted) == 0 || (errno != EAGAIN && errno != EACCES)) return;
        }
#endif
    }

private:
#if defined(F_OFD_SETLK)
    static struct flock byte_lock(off_t from, off_t length) noexcept {
        struct flock wanted {};
        wanted.l_type = F_WRLCK;
        wanted.l_whence = SEEK_SET;
        wanted.l_start = from;
        wanted.l_len = length;
        return wanted;
    }

    // The kernel names any one of the locks in a range: look left and right of it.
    int locks_in(off_t from, off_t to) const noexcept {
        if (from >= to) return 0;
        struct flock found = byte_lock(from, to - from);
        if (fcntl(fd_, F_OFD_GETLK, &found) != 0 || found.l_type == F_UNLCK) return 0;
        return 1 + locks_in(from, found.l_start) + locks_in(found.l_start + 1, to);
    }
#endif

    static void remove_own(const std::string& path, int fd) noexcept {
        struct stat ours, found;
        if (fstat(fd, &ours) == 0 && lstat(path.c_str(), &found) == 0 && ours.st_ino == found.st_ino &&
            ours.st_dev == found.st_dev) {
            unlink(path.c_str());
        }
    }

    void drop_lock() noexcept {
        if (lockFd_ < 0) return;
        unlink((path_ + ".lock").c_str());
        HFT_CRASH_POINT();
        ::close(lockFd_);
        lockFd_ = -1;
    }

    // Making failed half-way.
    void give_up() noexcept {
        unlink((path_ + ".new").c_str());
        drop_lock();
    }

    void release() noexcept {
        if (base_ != nullptr) munmap(base_, bytes_);
        if (parkPage_ != nullptr) munmap(parkPage_, sizeof(ParkPage));
        if (fd_ >= 0) ::close(fd_);
        if (lockFd_ >= 0) ::close(lockFd_);
        base_ = parkPage_ = nullptr;
        fd_ = lockFd_ = -1;
    }

    const std::string path_;
    const pid_t pid_;
    int lockFd_ = -1, fd_ = -1;
    char* base_ = nullptr;
    char* parkPage_ = nullptr;
    std::size_t bytes_ = 0;
    bool owner_ = false;
    View view_;
};

// Whether a folder's files live in memory alone: on a disk, writing back holds up whoever writes to a mapped page.
inline bool in_memory(const std::string& folder) noexcept {
#if defined(__linux__)
    struct statfs found;
    if (statfs(folder.c_str(), &found) != 0) return false;
    return static_cast<unsigned long>(found.f_type) == TMPFS_MAGIC ||
           static_cast<unsigned long>(found.f_type) == RAMFS_MAGIC;
#else
    (void)folder;
    return false;
#endif
}

inline Segment* create_segment(const std::string& path, const Shape& shape, Trouble* trouble) {
    return Segment::create(path, shape, trouble).release();
}

inline Segment* attach_segment(const std::string& path, std::uint32_t kind, Trouble* trouble) {
    return Segment::attach(path, kind, trouble).release();
}

}  // namespace hft::shm
