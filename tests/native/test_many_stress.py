"""Rings with several producers, conflation and waiting for room under ThreadSanitizer and AddressSanitizer, and seeded
mutants that these runs must find. Length as in test_ring_stress.py.
"""

import itertools
from pathlib import Path

import pytest
from native_stress import FOUND, ITEMS, MARKS, SANITIZERS, build, changed, run

pytestmark = MARKS
POLICIES = ("drop_newest", "drop_oldest", "halt", "block", "conflate")
EACH = max(ITEMS // 50, 10_000)  # times three producers, thirty runs


@pytest.fixture(scope="module", params=sorted(SANITIZERS))
def program(request, tmp_path_factory) -> Path:
    return build("many_stress.cpp", tmp_path_factory.mktemp("stress") / request.param, request.param)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("capacity", [1, 8, 1024])
def test_no_race_no_loss_no_tear(program, policy, capacity):
    for producers in (1, 3):
        done = run(program, policy, capacity, EACH, producers)
        assert done.returncode == 0, done.stderr[-4000:]
        assert done.stderr == ""


RELAXED = {
    "publish": "-DHFT_MPSC_PUBLISH_ORDER=std::memory_order_relaxed",
    "retire": "-DHFT_MPSC_RETIRE_ORDER=std::memory_order_relaxed",
}


@pytest.mark.parametrize("mutant", sorted(RELAXED))
def test_a_release_made_relaxed_is_found(tmp_path, mutant):
    done = run(build("many_stress.cpp", tmp_path / "mutant", "thread", RELAXED[mutant]), "drop_newest", 8, 10_000, 3)
    assert done.returncode == FOUND, done.stderr[-4000:] or done.stdout
    assert "data race" in done.stderr


# Lets others run between two steps: makes the rare interleaving the usual one.
PAUSE = "std::this_thread::yield();\n"
# Lets producers run until they have dropped what was copied; not for ever, since they may have ended.
UNTIL_OVERTAKEN = (
    "for (int i = 0; i < 200 && consumer_.head.load(std::memory_order_relaxed) == head; ++i)"
    " std::this_thread::sleep_for(std::chrono::microseconds(100));\n"
)
MPSC_CLAIM = (
    "            if (consumer_.head.compare_exchange_strong(head, head + n, std::memory_order_acq_rel,\n"
    "                                                       std::memory_order_acquire)) {"
)

TAKE_BY_LOCK = (
    "bool goes_on, std::uint64_t* next) noexcept {\n        std::lock_guard<std::mutex> lock(mutex_);\n"
)

# Mistakes in the algorithms, which no sanitizer need see: (header, policy, producers, right, wrong).
MISTAKES = {
    "claim without check": (
        "mpsc_ring.hpp", "drop_oldest", 3,
        MPSC_CLAIM, UNTIL_OVERTAKEN + "consumer_.head.store(head + n, std::memory_order_release);\n{",
    ),
    "full too late": ("mpsc_ring.hpp", "drop_newest", 3, "tail - head >= capacity_", "tail - head > capacity_"),
    "an uncounted drop": (
        "mpsc_ring.hpp", "drop_oldest", 3,
        "            counters_.dropped.fetch_add(1, std::memory_order_relaxed);\n        }\n        return true;",
        "        }\n        return true;",
    ),
    "a count that producers lose": (
        "mpsc_ring.hpp", "drop_newest", 3,
        "counters_.dropped.fetch_add(1, std::memory_order_relaxed);\n        return OFFER_REFUSED;",
        "const auto seen = counters_.dropped.load(std::memory_order_relaxed);\n" + PAUSE
        + "counters_.dropped.store(seen + 1, std::memory_order_relaxed);\n        return OFFER_REFUSED;",
    ),
    "publish before write": (
        "mpsc_ring.hpp", "drop_newest", 3,
        "        write(slots_[tail & mask_], item);\n",
        "        sequences_[tail & mask_].store(tail + 1, std::memory_order_release);\n" + PAUSE
        + "        write(slots_[tail & mask_], item);\n",
    ),
    "take what is claimed but not written": (
        "mpsc_ring.hpp", "drop_newest", 3,
        "for (; n < most && published(head + n); ++n) {\n            copy_words",
        "for (; n < most && head + n < producers_.tail.load(); ++n) {\n            copy_words",
    ),
    "two producers get one position": (
        "mpsc_ring.hpp", "drop_newest", 3,
        "if (producers_.tail.compare_exchange_weak(tail, tail + 1, std::memory_order_relaxed)) break;",
        "{ " + PAUSE + "producers_.tail.store(tail + 1, std::memory_order_relaxed); break; }",
    ),
    "a conflation that nobody counts": ("conflating_ring.hpp", "conflate", 3, "            add(conflated_);\n", ""),
    "a place that is not forgotten": (
        "conflating_ring.hpp", "conflate", 3,
        "            forget(head + i);\n        }\n        head_", "        }\n        head_",
    ),
    "a hole that is not closed": (
        "conflating_ring.hpp", "conflate", 3,
        "                index_[hole] = index_[next];\n                hole = next;\n", "",
    ),
    "the consumer takes without the lock": (
        "conflating_ring.hpp", "conflate", 3, TAKE_BY_LOCK, "bool goes_on, std::uint64_t* next) noexcept {\n",
    ),
    "no second look for room": (
        "any_ring.hpp", "block", 3,
        "            answer = offer(item);\n            const bool signalled",
        "            " + PAUSE + "            const bool signalled",
    ),
    "a signal that lets nobody in": (
        "room_gate.hpp", "block", 3, "            generation_.fetch_add(1, std::memory_order_release);", "           ",
    ),
}  # fmt: skip


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mistake", sorted(MISTAKES))
def test_a_mistake_in_the_algorithm_is_found(tmp_path, mistake):
    header, policy, producers, right, wrong = MISTAKES[mistake]
    # With -O1 and a large number of slots the checks of the program find it, or the sanitizer does.
    program = build(
        "many_stress.cpp", tmp_path / "mutant", "thread", "-include", "thread",
        include=changed(tmp_path, header, right, wrong),
    )  # fmt: skip
    found = []
    # Short runs first, and often: one of them misses the rarest mistake three times of eight.
    for items, capacity in [*itertools.product((300,) * 6, (32, 8, 1)), *[(5_000, 32)] * 3, (5_000, 8), (5_000, 1)]:
        found.append(run(program, policy, capacity, items, producers, 2, limit_s=10).returncode)
        # Not HANGS: a slow machine proves nothing.
        if found[-1] in (1, FOUND):
            return
    raise AssertionError(f"nothing found: {found}")


def test_a_consumer_that_is_overtaken_while_it_copies_delivers_nothing_torn(tmp_path):
    include = changed(tmp_path, "mpsc_ring.hpp", MPSC_CLAIM, PAUSE + MPSC_CLAIM)
    program = build("many_stress.cpp", tmp_path / "paused", "thread", "-include", "thread", include=include)
    for capacity in (1, 8):
        done = run(program, "drop_oldest", capacity, 5_000, 3)
        assert done.returncode == 0, done.stderr[-4000:]


def test_a_producer_that_sleeps_before_it_writes_holds_up_no_counter(tmp_path):
    right = "        write(slots_[tail & mask_], item);\n"
    include = changed(tmp_path, "mpsc_ring.hpp", right, "        if ((tail & 63) == 5) " + PAUSE + right)
    program = build("many_stress.cpp", tmp_path / "paused", "thread", "-include", "thread", include=include)
    for policy in POLICIES[:4]:
        for capacity in (1, 8):
            done = run(program, policy, capacity, 5_000, 3)
            assert done.returncode == 0, (policy, capacity, done.stderr[-4000:])
