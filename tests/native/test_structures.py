"""The rings, the room gate and the feed's memory by programs that depend on no schedule: every interleaving of
interleave.cpp and every operation of structure_check.cpp follows from fixed seeds, so that each seeded mutant is found
by each run. `HFTPY_STRESS_ITEMS` sets the length.
"""

from pathlib import Path

import pytest
from native_stress import FOUND, ITEMS, MARKS, SANITIZERS, build, changed, run
from short_run import some

pytestmark = MARKS
POLICIES = ("drop_newest", "drop_oldest", "halt", "block")
LIMIT_S = 60  # far more than any of these takes; whoever hangs has not been found
ROUNDS = min(max(ITEMS // 500, 100), 1000)  # a round of drop_oldest with many producers takes 20 ms and more


@pytest.fixture(scope="module", params=sorted(SANITIZERS))
def sanitizer(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def programs(sanitizer, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp(sanitizer)
    return {name: build(f"{name}.cpp", folder / name, sanitizer) for name in ("interleave", "structure_check")}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("producers", ["one", "many"])
def test_every_interleaving_keeps_what_the_ring_promises(programs, policy, producers):
    done = run(programs["interleave"], policy, producers, ROUNDS)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr[-4000:]


@pytest.mark.parametrize("structure", ["conflate", "gate", "feed", "handover"])
def test_structures_agree_with_their_models(programs, structure):
    rounds = 1 if structure in ("gate", "handover") else ROUNDS
    done = run(programs["structure_check"], structure, rounds)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr[-4000:]


POINT = 'HFT_STEP_POINT("mutant");\n'
CLAIM = (
    "            if (consumer_.head.compare_exchange_strong(head, head + n, std::memory_order_acq_rel,\n"
    "                                                       std::memory_order_acquire)) {"
)
UNCLAIMED = "            consumer_.head.store(head + n, std::memory_order_release);\n            {"
MPSC, SPSC, ANY = "mpsc_ring.hpp", "spsc_ring.hpp", "any_ring.hpp"
# (header, policy, producers, right, wrong), for interleave.cpp.
INTERLEAVED = {
    "mpsc: claim without check": (MPSC, "drop_oldest", "many", CLAIM, UNCLAIMED),
    "spsc: claim without check": (SPSC, "drop_oldest", "one", CLAIM, UNCLAIMED),
    "mpsc: full too late": (MPSC, "drop_newest", "many", "tail - head >= capacity_", "tail - head > capacity_"),
    "spsc: full too late": (
        SPSC, "drop_newest", "one", "producer_.cachedHead >= capacity_) {", "producer_.cachedHead > capacity_) {",
    ),
    "mpsc: an uncounted drop": (
        MPSC, "drop_oldest", "many",
        "            counters_.dropped.fetch_add(1, std::memory_order_relaxed);\n        }\n        return true;",
        "        }\n        return true;",
    ),
    "spsc: an uncounted drop": (
        SPSC, "drop_oldest", "one", "            count(producer_.dropped);\n            producer_.cachedHead",
        "            producer_.cachedHead",
    ),
    "mpsc: a drop of what is still being written": (
        MPSC, "drop_oldest", "many", "        if (!published(head)) {\n", "        if (false) {\n",
    ),
    "mpsc: a drop that is counted where somebody was faster": (
        MPSC, "drop_oldest", "many",
        "        HFT_STEP_POINT(\"drops\");\n",
        "        HFT_STEP_POINT(\"drops\");\n"
        "        if (consumer_.head.load() != head) counters_.dropped.fetch_add(1, std::memory_order_relaxed);\n",
    ),
    "mpsc: a count that producers lose": (
        MPSC, "drop_newest", "many",
        "counters_.dropped.fetch_add(1, std::memory_order_relaxed);\n        return OFFER_REFUSED;",
        "const auto seen = counters_.dropped.load(std::memory_order_relaxed);\n" + POINT
        + "counters_.dropped.store(seen + 1, std::memory_order_relaxed);\n        return OFFER_REFUSED;",
    ),
    "mpsc: an overtaken item that nobody counts": (
        MPSC, "drop_oldest", "many",
        "        counters_.overtaken.fetch_add(1, std::memory_order_relaxed);\n", "",
    ),
    "mpsc: publish before write": (
        MPSC, "drop_newest", "many", "        write(slots_[tail & mask_], item);\n",
        "        sequences_[tail & mask_].store(tail + 1, std::memory_order_release);\n" + POINT
        + "        write(slots_[tail & mask_], item);\n",
    ),
    "spsc: publish before write": (
        SPSC, "drop_newest", "one", "        write(slots_[tail & mask_], item);\n",
        "        producer_.tail.store(tail + 1, std::memory_order_release);\n" + POINT
        + "        write(slots_[tail & mask_], item);\n",
    ),
    "mpsc: take what is claimed but not written": (
        MPSC, "drop_newest", "many", "for (; n < most && published(head + n); ++n) {\n            copy_words",
        "for (; n < most && head + n < producers_.tail.load(); ++n) {\n            copy_words",
    ),
    "mpsc: show what is claimed but not written": (
        MPSC, "block", "many", "while (n < most && published(head + n)) ++n;",
        "while (n < most && head + n < producers_.tail.load()) ++n;",
    ),
    "mpsc: two producers get one position": (
        MPSC, "drop_newest", "many",
        "if (producers_.tail.compare_exchange_weak(tail, tail + 1, std::memory_order_relaxed)) break;",
        "{ " + POINT + "producers_.tail.store(tail + 1, std::memory_order_relaxed); break; }",
    ),
    "mpsc: the room is given back before the copy": (
        MPSC, "halt", "many",
        "        std::size_t n = 0;\n        for (; n < most && published(head + n); ++n) {\n            copy_words",
        "        std::size_t n = 0;\n        while (n < most && published(head + n)) ++n;\n        if (n) retire(n);\n"
        "        HFT_STEP_POINT(\"mutant\");\n        n = 0;\n"
        "        for (; n < most && published(head + n); ++n) {\n            copy_words",
    ),
    "spsc: the oldest goes though the consumer has it": (
        SPSC, "drop_oldest", "one",
        "        if (consumer_.head.compare_exchange_strong(oldest, oldest + 1, std::memory_order_acq_rel,\n"
        "                                                   std::memory_order_acquire)) {",
        "        if (consumer_.head.store(oldest + 1, std::memory_order_release); true) {",
    ),
    "mpsc: a halt that refuses one item alone": (
        MPSC, "halt", "many", "refusing_.fetch_or(HALTED, std::memory_order_relaxed);", ";",
    ),
    "mpsc: no high water": (MPSC, "halt", "many", "        note_depth(tail + 1);\n", ""),
    "mpsc: beyond the mark": (
        MPSC, "block", "many", "head + capacity_, limit, until)", "head + capacity_, limit, NO_LIMIT)",
    ),
    "no second look for room": (
        ANY, "block", "many",
        "            answer = offer(item);\n            HFT_STEP_POINT", "            HFT_STEP_POINT",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", some(sorted(INTERLEAVED)))
def test_a_mistake_that_an_interleaving_shows_is_found(tmp_path, mistake):
    header, policy, producers, right, wrong = INTERLEAVED[mistake]
    program = build("interleave.cpp", tmp_path / "mutant", "", include=changed(tmp_path, header, right, wrong))
    done = run(program, policy, producers, 24, limit_s=LIMIT_S)
    assert done.returncode == 1 and "violated" in done.stderr, (done.returncode, done.stdout, done.stderr[-2000:])


RING, GATE, FEED = "conflating_ring.hpp", "room_gate.hpp", "feed_state.hpp"
# (header, mode, right, wrong), for structure_check.cpp.
CHECKED = {
    "a conflation that nobody counts": (RING, "conflate", "            add(conflated_);\n", ""),
    "a conflation that counts as no push": (RING, "conflate", "        add(pushed_);\n", ""),
    "the older of two stays": (
        RING, "conflate", "            copy_words(slots_[(found - 1) & mask_].words, item);\n", "",
    ),
    "a place that is not forgotten": (
        RING, "conflate", "            forget(head + i);\n        }\n        head_", "        }\n        head_",
    ),
    "a place that is not forgotten as its item gives way": (RING, "conflate", "            forget(head);\n", ""),
    "a hole that is not closed": (
        RING, "conflate", "                index_[hole] = index_[next];\n                hole = next;\n", "",
    ),
    "whoever comes after a hole moves into it": (
        RING, "conflate",
        "if (((next - home(index_[next].key)) & places_mask_) >= ((next - hole) & places_mask_)) {", "{",
    ),
    "the newest gives way": (
        RING, "conflate", "            add(dropped_);\n        }\n        index_",
        "            add(dropped_);\n            return OFFER_TAKEN;\n        }\n        index_",
    ),
    "a later item's key is forgotten": (
        RING, "conflate", "        if (index_[hole].position_plus_1 != position + 1) return;\n", "",
    ),
    "a mark that ends nothing": (RING, "conflate", "if (found > barrier_) {", "if (found > 0) {"),
    "a mark that ends one item more": (RING, "conflate", "if (found > barrier_) {", "if (found > barrier_ + 1) {"),
    "one key for two exchanges": (RING, "conflate", "static_cast<std::uint64_t>(ticker.exchange) << 32 | ", ""),
    "a batch that goes beyond the mark": (
        RING, "conflate", "limit, until);\n        for", "limit, NO_LIMIT);\n        for",
    ),
    "a wrong first position": (RING, "conflate", "*first = next - n;", "*first = next;"),
    "no high water": (RING, "conflate", "highWater_.store(tail + 1 - head", "highWater_.store(tail - head"),
    "only the first part of a large batch": (RING, "conflate", "            taken += n;\n", "            return n;\n"),
    "what is refused is not counted": (
        RING, "conflate", "            add(dropped_);\n            return OFFER_REFUSED;",
        "            return OFFER_REFUSED;",
    ),
    "a signal that lets nobody in": (
        GATE, "gate", "            generation_.fetch_add(1, std::memory_order_release);", "           ",
    ),
    "who enters is not counted": (GATE, "gate", "        waiting_.fetch_add(1, std::memory_order_relaxed);\n", ""),
    "who leaves takes the others along": (
        GATE, "gate", "waiting_.fetch_sub(1, std::memory_order_relaxed)", "waiting_.store(0)",
    ),
    "a signal that wakes one": (GATE, "gate", "changed_.notify_all();", "changed_.notify_one();"),
    "whoever waits is let in": (GATE, "gate", "generation_.load(std::memory_order_relaxed) != entered;", "true;"),
    "the generation of entering is a guess": (
        GATE, "gate", "return generation_.load(std::memory_order_acquire);", "return 0;",
    ),
    "a pop that lets nobody in": (
        ANY, "gate", "        if (gated_) note_taken(n);\n        return n;", "        return n;",
    ),
    "a pop of nothing that lets in": (ANY, "gate", "        if (n) gate_.signal();", "        gate_.signal();"),
    "retiring lets nobody in": (
        ANY, "gate", "        if (gated_) note_taken(n);\n    }\n\n    // Block and halt",
        "    }\n\n    // Block and halt",
    ),
    "closing lets nobody in": (
        ANY, "gate", "        HFT_EACH(close());\n        gate_.signal();", "        HFT_EACH(close());",
    ),
    "the first consumer stays the consumer": (
        ANY, "gate", "if (!is_consumer()) note_consumer();", "if (!has_consumer()) note_consumer();",
    ),
    "a full ring is counted for who does not wait": (
        ANY, "gate", "if (answer != OFFER_FULL || timeout_ns <= 0) return answer;",
        "if (answer != OFFER_FULL || timeout_ns <= 0) return answer == OFFER_FULL ? refuse() : answer;",
    ),
    "the same update is outdated": (
        FEED, "feed", "if (ticker.seq < state->update &&", "if (ticker.seq <= state->update &&",
    ),
    "a venue may always count anew": (FEED, "feed", "(tickers == TICKERS_NEWEST || ", "("),
    "no update is remembered": (FEED, "feed", "            state->update = ticker.seq;\n", ""),
    "no time is remembered": (FEED, "feed", "            state->numberTimeNs = ticker.exchangeTimeNs;\n", ""),
    "a repeated trade is no duplicate": (
        FEED, "feed", "if (number <= state->number) {", "if (number < state->number) {",
    ),
    "nothing counts anew": (
        FEED, "feed", "if (trade.tradeTimeNs <= state->numberTimeNs) return VERDICT_DUPLICATE;",
        "return VERDICT_DUPLICATE;",
    ),
    "one trade too many is lost": (
        FEED, "feed", "*lost = number - state->number - 1;", "*lost = number - state->number;",
    ),
    "a gap that is not told": (FEED, "feed", "                    verdict = VERDICT_GAP;\n", ""),
    "gaps where numbers only rise": (FEED, "feed", "trades == TRADES_BY_ONE && number", "number"),
    "the trade before is forgotten": (FEED, "feed", "            state->number = number;\n", ""),
    "a trade that is passed over is heard": (
        FEED, "feed", "return state == nullptr ? VERDICT_UNWANTED : judge(state, trade, lost);",
        "if (state) note(state, 0);\n        return state == nullptr ? VERDICT_UNWANTED : judge(state, trade, lost);",
    ),
    "a duplicate is heard": (FEED, "feed", "if (verdict != VERDICT_DUPLICATE) note", "note"),
    "the other number": (FEED, "feed", "return numbered_by_seq ?", "return !numbered_by_seq ?"),
    "a symbol that nobody wants is found": (FEED, "feed", "return state->wanted ? state : nullptr;", "return state;"),
    "two symbols share a state": (
        FEED, "feed", "slots_[id] = static_cast<std::uint32_t>(states_.size());", "slots_[id] = 1;",
    ),
    "who is told stays silent": (FEED, "feed", "        state->stale = false;\n", ""),
    "the one that was heard last": (FEED, "feed", "state.seenNs >= *seen", "state.seenNs <= *seen"),
    "a snapshot ends the patience": (FEED, "feed", "(flags & FLAG_SNAPSHOT) == 0) silence", "true) silence"),
    "a new connection counts on": (
        FEED, "feed", "for (SymbolState& state : states_) state.update = 0;", "",
    ),
    "two old frames are a new count": (FEED, "feed", "ANEW_AFTER = 3", "ANEW_AFTER = 2"),
    "old frames need not follow each other": (FEED, "feed", "number == old_next_ ? run_ + 1 : 1", "run_ + 1"),
    "a lost frame that is not told": (
        FEED, "feed", "            verdict = VERDICT_GAP;\n        }\n        run_", "        }\n        run_",
    ),
    "old frames are remembered for ever": (FEED, "feed", "        run_ = 0;\n        next_", "        next_"),
    "a frame is taken for newest first": (
        FEED, "feed", "return number_of(trades[i]) > number_of(last);",
        "return number_of(trades[i]) != number_of(last);",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", some(sorted(CHECKED)))
def test_a_mistake_that_a_model_shows_is_found(tmp_path, mistake):
    header, mode, right, wrong = CHECKED[mistake]
    program = build("structure_check.cpp", tmp_path / "mutant", "", include=changed(tmp_path, header, right, wrong))
    done = run(program, mode, 36, limit_s=LIMIT_S)
    assert done.returncode == 1 and "violated" in done.stderr, (done.returncode, done.stdout, done.stderr[-2000:])


TAKE_BY_LOCK = (
    "bool goes_on, std::uint64_t* next) noexcept {\n        std::lock_guard<std::mutex> lock(mutex_);\n"
)
# What only ThreadSanitizer sees, in turns that order nothing: options, or (header, right, wrong).
UNORDERED = {
    "spsc: publish": "-DHFT_RING_PUBLISH_ORDER=std::memory_order_relaxed",
    "spsc: retire": "-DHFT_RING_RETIRE_ORDER=std::memory_order_relaxed",
    "mpsc: publish": "-DHFT_MPSC_PUBLISH_ORDER=std::memory_order_relaxed",
    "mpsc: retire": "-DHFT_MPSC_RETIRE_ORDER=std::memory_order_relaxed",
    "the consumer takes without the lock": (RING, TAKE_BY_LOCK, TAKE_BY_LOCK.partition("        std::lock")[0]),
}


@pytest.mark.parametrize("mistake", some(sorted(UNORDERED)))
def test_what_nothing_orders_is_found(tmp_path, mistake):
    match UNORDERED[mistake]:
        case str(option):
            program = build("structure_check.cpp", tmp_path / "mutant", "thread", option)
        case (header, right, wrong):
            include = changed(tmp_path, header, right, wrong)
            program = build("structure_check.cpp", tmp_path / "mutant", "thread", include=include)
    done = run(program, "handover", limit_s=LIMIT_S)
    assert done.returncode == FOUND and "data race" in done.stderr, (done.returncode, done.stderr[-2000:])
