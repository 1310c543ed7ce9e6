"""The shared-memory ring's C++ between processes: laps, joins, mutants that the payloads' own words must find, and a
writer that is killed before and after each of its stores.

`HFTPY_SHM_READS` sets how many reads the long run makes (`make shm-stress`: 1e9).
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from short_run import some

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
INCLUDE = ROOT / "hftcore" / "include"
COMPILER = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
READS = int(os.environ.get("HFTPY_SHM_READS", "2000000"))
HANGS = 124
MODES = {
    "plain": ["-O2"],
    "thread": ["-O1", "-fsanitize=thread"],
    "address": ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
}

pytestmark = [
    pytest.mark.native,
    pytest.mark.skipif(COMPILER is None, reason="no C++ compiler (g++, clang++ or $CXX)"),
    pytest.mark.skipif(sys.platform != "linux", reason="counts on Linux's futex and locks"),
]


def build(target: Path, mode: str, source: str, *options: str, include: Path = INCLUDE) -> Path:
    assert COMPILER is not None
    command = [COMPILER, "-std=c++17", "-g1", "-pthread", "-Wall", "-Wextra", "-Wno-tsan", *MODES[mode]]
    command += [f"-I{include}", *options, str(HERE / source), "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and ("sanitize" in done.stderr or "tsan" in done.stderr or "asan" in done.stderr):
        pytest.skip(f"{COMPILER} has no {mode} sanitizer here")
    assert done.returncode == 0, done.stderr
    return target


def run(program: Path, *arguments: object, limit_s: float = 100) -> subprocess.CompletedProcess[str]:
    """Run it; its exit status is `HANGS` where it did not end in time: nothing was found then, and nothing proved."""
    command = [str(program), *map(str, arguments)]
    environment = os.environ | {"TSAN_OPTIONS": "halt_on_error=1 exitcode=66", "ASAN_OPTIONS": "exitcode=66"}
    if (setarch := shutil.which("setarch")) is not None:
        command = [setarch, "-R", *command]
    # A session of its own: the readers that it has forked end with it.
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    ) as process:
        try:
            out, errors = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return subprocess.CompletedProcess(command, HANGS, "", f"did not end within {limit_s} s")
    return subprocess.CompletedProcess(command, process.returncode, out, errors)


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory where there is one."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
        yield Path(folder)
        assert not os.listdir(folder)


def clear(memory: Path) -> None:
    """Remove what a program that was stopped has left."""
    for left in memory.iterdir():
        left.unlink()


def total(done: subprocess.CompletedProcess[str]) -> tuple[int, int]:
    rows = re.findall(r"published (\d+) read (\d+) lost (\d+)", done.stdout)
    assert all(int(read) + int(lost) == int(published) for published, read, lost in rows) and rows, done
    return sum(int(row[1]) for row in rows), sum(int(row[2]) for row in rows)


@pytest.mark.parametrize("mode", ["plain", "address"])
def test_nothing_torn_and_every_loss_counted(tmp_path: Path, memory: Path, mode: str) -> None:
    program = build(tmp_path / "stress", mode, "shm_stress.cpp")
    for capacity, reads in ((1, 1000), (2, 3000), (8, 10_000), (1024, 200_000)):
        done = run(program, memory, capacity, reads, 2)
        assert done.returncode == 0 and done.stderr == "", done.stderr[-4000:]
        read, lost = total(done)
        assert read >= reads and lost > 0


@pytest.mark.timeout(3600)
def test_many_reads(tmp_path: Path, memory: Path) -> None:
    program = build(tmp_path / "stress", "plain", "shm_stress.cpp")
    done = run(program, memory, 16384, READS, 2, limit_s=3500)
    assert done.returncode == 0 and done.stderr == "", done.stderr[-4000:]
    print(done.stdout)
    read, lost = total(done)
    assert read >= READS and lost > 0


def test_thread_sanitizer_finds_no_plain_access(tmp_path: Path, memory: Path) -> None:
    program = build(tmp_path / "stress", "thread", "shm_stress.cpp")
    for capacity in (8, 1024):
        done = run(program, memory, capacity, 5000, 2, "threads")
        assert done.returncode == 0 and done.stderr == "", done.stderr[-4000:]


WRITE = """        to[i].store(from[i], std::memory_order_relaxed);"""
COPY = (
    "#pragma GCC unroll 16\n"
    "    for (int i = 0; i < count; ++i) to[i] = from[i].load(std::memory_order_relaxed);  // relaxed: checked below\n"
)
MARK = "    sequence.store(2 * n + 1, std::memory_order_release);\n"
DONE = "    sequence.store(2 * n + 2, std::memory_order_release);"
RECHECK = "    return sequence.load(std::memory_order_relaxed) == seen;\n"
HEAD = "        view_.header->head.store(position + 1, std::memory_order_release);\n"
LAST = "        seqlock_write(last.sequence, last.words, words, RECORD_WORDS, number - 1);\n"
# Each side stops in the middle now and then: makes the rare interleaving a usual one.
PAUSES = [
    (WRITE, "        if (n % 16 == 3 && i == 4) std::this_thread::yield();\n" + WRITE),
    (COPY, COPY.replace("to[i] =", "{ if (seen % 64 == 8 && i == 6) std::this_thread::yield(); to[i] =").replace(
        ");  //", "); }  //")),
    ("#include <vector>", "#include <thread>\n#include <vector>"),
]  # fmt: skip
MISTAKES = {
    "the sequence is written once": [(MARK, "")],
    "announced before it is written": [(DONE, ""), (MARK, MARK + DONE)],
    "the reader does not look again": [(RECHECK, "    (void)seen, (void)sequence;\n    return true;\n")],
    # what a missing acquire fence allows
    "looked again before the copy": [
        (COPY, "    const bool whole = sequence.load(std::memory_order_relaxed) == seen;\n" + COPY),
        (RECHECK, "    return whole;\n"),
    ],
    # what a missing release fence allows
    "marked after the first words": [(MARK, "    for (int i = 0; i < count / 2; ++i) to[i].store(from[i]);\n" + MARK)],
    "a lap is taken for the record": [
        ("if (seen != expected) return", "if (seen != expected && seen != expected + 2 * view_.capacity) return"),
        ("words, RECORD_WORDS, expected)) continue;", "words, RECORD_WORDS, seen)) continue;"),
    ],
    "a lap goes one too far": [("head() - view_.capacity / 2;", "head() + 1;")],
    "a lap goes to the head": [("head() - view_.capacity / 2;", "head();")],
    "a lost message is not counted": [("lost_ += to - position_;", "lost_ += to - position_ - 1;")],
    "the head before the last value": [
        (HEAD, ""),
        (LAST, HEAD + "        if (position % 8 == 0) std::this_thread::yield();\n" + LAST),
    ],
    "messages still to come are told as lost": [("last.position < position_ && last.topicSeq", "last.topicSeq")],
    "no sweep after a lap": [("    void sweep() {\n", "    void sweep() {\n        if (head() > 100) return;\n")],
}  # fmt: skip


def changed(tmp_path: Path, edits: list[tuple[str, str]]) -> Path:
    shutil.copytree(INCLUDE / "hftcore", tmp_path / "include" / "hftcore")
    header = tmp_path / "include" / "hftcore" / "shm_ring.hpp"
    text = header.read_text()
    for right, wrong in edits:
        assert right in text, f"the header has changed: adapt {right!r}"
        text = text.replace(right, wrong)
    header.write_text(text)
    return tmp_path / "include"


@pytest.mark.parametrize("mistake", some(MISTAKES))
def test_a_mistake_in_the_algorithm_is_found(tmp_path: Path, memory: Path, mistake: str) -> None:
    include = changed(tmp_path, [*MISTAKES[mistake], *PAUSES])
    program = build(tmp_path / "mutant", "plain", "shm_stress.cpp", include=include)
    for capacity, reads in ((8, 100_000), (1024, 400_000), (1, 5000)):
        done = run(program, memory, capacity, reads, 2)
        if done.returncode not in (0, HANGS):
            assert "violated" in done.stderr
            break
        clear(memory)
    else:
        pytest.fail("not found")
    clear(memory)


def test_pauses_alone_are_no_mistake(tmp_path: Path, memory: Path) -> None:
    program = build(tmp_path / "paused", "plain", "shm_stress.cpp", include=changed(tmp_path, PAUSES))
    for capacity, reads in ((1, 200), (8, 5000), (1024, 50_000)):
        done = run(program, memory, capacity, reads, 2)
        assert done.returncode == 0, done.stderr[-4000:]


def test_a_writer_killed_before_and_after_each_store(tmp_path: Path, memory: Path) -> None:
    program = build(tmp_path / "crash", "plain", "shm_crash.cpp")
    done = run(program, memory)
    assert done.returncode == 0 and done.stderr == "", done.stderr[-4000:]
    assert int(done.stdout.split()[0]) > 1000


CRASH_MISTAKES = {
    "the head before the slot": [
        ("        Slot& slot = view_.ring", HEAD + "        HFT_CRASH_POINT();\n        Slot& slot = view_.ring")
    ],
    "announced before it is written": [(MARK, MARK + DONE)],
}


@pytest.mark.parametrize("mistake", CRASH_MISTAKES)
def test_a_mistake_is_found_by_killing(tmp_path: Path, memory: Path, mistake: str) -> None:
    include = changed(tmp_path, CRASH_MISTAKES[mistake])
    done = run(build(tmp_path / "mutant", "plain", "shm_crash.cpp", include=include), memory)
    assert done.returncode == 1 and "crash point" in done.stderr
    clear(memory)
