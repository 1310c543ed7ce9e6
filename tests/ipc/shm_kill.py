"""Kills the writer and the readers of a shared-memory segment at random, and checks what the living ones see.

    python shm_kill.py FOLDER KILLS SEED

Each item carries its number within its symbol: a reader knows of each whether it follows the one before it and what it
was told as lost. Prints one JSON line; exit status 1 and a line on standard error at the first violation.
"""

import json
import mmap
import os
import random
import signal
import statistics
import struct
import sys
import time
from pathlib import Path
from typing import Any

from hftcore.shm import ShmReader, ShmWriter
from hftcore.types import Ticker

READERS = 3
SYMBOLS = ["btc/usd", "eth/usd", "ada/usd", "sol/usd"]
STOP, WRITERS = 0, 8  # offsets in the shared page; then of each reader: epoch, recovery in ns, violations
LIMIT_S = 20.0


class Page:
    """Numbers that all processes see."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, 4096)

    def __getitem__(self, offset: int) -> int:
        found: int = struct.unpack_from("<q", self.memory, offset)[0]
        return found

    def __setitem__(self, offset: int, value: int) -> None:
        struct.pack_into("<q", self.memory, offset, value)


def write(path: Path, page: Page, seed: int) -> None:
    rng = random.Random(seed)
    writer = ShmWriter(path, Ticker, exchange="kraken", capacity=256, max_symbols=8)
    numbers = dict.fromkeys(SYMBOLS, 0)
    while not page[STOP]:
        for _ in range(rng.choice([1, 1, 5, 50, 600])):
            symbol = rng.choice(SYMBOLS)
            numbers[symbol] += 1
            number = numbers[symbol]
            now = time.monotonic_ns()
            item = Ticker(
                exchange="kraken", symbol=symbol, bidPrice=number * 3.0, askPrice=-number, seq=number, localTimeNs=now
            )
            assert writer.put(item) == number
        if rng.random() < 0.2:
            writer.put_event(b"event")
        writer.wake_readers()
        time.sleep(rng.choice([0.0, 0.0001, 0.001]))
    writer.close()


def read(path: Path, page: Page, index: int) -> None:
    at = 16 + 24 * index
    last: dict[str, int] = {}
    fresh = False

    def violated(text: str) -> None:
        page[at + 16] = 1
        sys.stderr.write(f"reader {index}: {text}\n")
        os._exit(1)

    def on_notice(name: str, symbol: Any, value: Any) -> None:
        nonlocal fresh
        if name == "lost":
            if symbol is not None:
                last[symbol] = last.get(symbol, 0) + value
        elif name == "restart":
            last.clear()
            last.update(dict.fromkeys(SYMBOLS, 0))  # all of the new writer's messages are ours
            fresh = True
        elif name != "event" or value != b"event":
            violated(f"{name} {value!r}")

    def on_item(item: Ticker) -> None:
        nonlocal fresh
        number = item.seq
        if item.bidPrice != number * 3.0 or item.askPrice != -number:
            violated(f"torn: {item}")
        expected = last.get(item.symbol)
        if expected is not None and number != expected + 1:
            violated(f"{item.symbol}: {number} follows {expected}")
        last[item.symbol] = number
        if fresh:
            fresh = False
            page[at + 8] = time.monotonic_ns() - item.localTimeNs
        if page[at] != reader.epoch:
            page[at] = reader.epoch

    reader: ShmReader[Ticker] = ShmReader(path, Ticker, wait=("adaptive", "park")[index % 2], on_notice=on_notice)
    while not page[STOP]:
        try:
            on_item(reader.get_wait(0.05))
        except TimeoutError:
            continue
        reader.drain(on_item, 1000)
    reader.close()


def spawn(work: Any, *arguments: Any) -> int:
    child = os.fork()
    if child == 0:
        try:
            work(*arguments)
        except BaseException as error:  # noqa: BLE001 - a child must not come back
            sys.stderr.write(f"{work.__name__}: {error!r}\n")
            os._exit(1)
        os._exit(0)
    return child


def main(folder: Path, kills: int, seed: int) -> int:
    rng = random.Random(seed)
    page, path = Page(), folder / "kill.shm"
    recoveries: list[float] = []
    writer = spawn(write, path, page, seed)
    readers = [spawn(read, path, page, index) for index in range(READERS)]
    epochs = dict.fromkeys(range(READERS), 0)

    def joined(index: int) -> bool:
        return page[16 + 24 * index] not in (0, epochs[index])

    def wait_for_all(what: str) -> None:
        end = time.monotonic() + LIMIT_S
        for index in range(READERS):
            while not joined(index):
                if page[16 + 24 * index + 16] or time.monotonic() > end:
                    raise SystemExit(f"reader {index} has not seen {what}")
                time.sleep(0.0005)

    wait_for_all("the first writer")
    try:
        for number in range(kills):
            time.sleep(rng.random() ** 3 * 0.01)
            if rng.random() < 0.5:
                os.kill(writer, signal.SIGKILL)
                os.waitpid(writer, 0)
                for index in range(READERS):
                    epochs[index] = page[16 + 24 * index]
                    page[16 + 24 * index + 8] = 0
                writer = spawn(write, path, page, seed + number)
                if rng.random() < 0.3:  # killed while it starts, too
                    time.sleep(rng.random() * 0.004)
                    continue
                wait_for_all("the new writer")
                recoveries += [page[16 + 24 * index + 8] / 1e6 for index in range(READERS)]
            else:
                index = rng.randrange(READERS)
                os.kill(readers[index], signal.SIGKILL)
                os.waitpid(readers[index], 0)
                page[16 + 24 * index] = epochs[index] = 0
                readers[index] = spawn(read, path, page, index)
                wait_for_all("the writer again")
            if any(page[16 + 24 * index + 16] for index in range(READERS)):
                return 1
    finally:
        page[STOP] = 1
        statuses = [os.waitpid(child, 0)[1] for child in (writer, *readers)]
    recoveries = [value for value in recoveries if value]
    result = {
        "kills": kills, "seed": seed, "left": os.listdir(folder), "statuses": statuses,
        "recoveries": len(recoveries), "recovery_ms_median": statistics.median(recoveries or [0.0]),
        "recovery_ms_99": sorted(recoveries or [0.0])[int(len(recoveries) * 0.99)],
        "recovery_ms_max": max(recoveries or [0.0]),
    }  # fmt: skip
    print(json.dumps(result))
    return int(any(statuses))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
