"""Ours and its peers on one host: a ping-pong of two processes, and a flood from one into a callback of the other.

    python shm_sides.py SIDE FOLDER     the other process: reads "pong N" and "flood N" from standard input

Each side spins where it can. The two processes sit on a CPU of their own each (`zmq` on one: there it is fastest).
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from multiprocessing import resource_tracker, shared_memory
from typing import Any

PAYLOAD_BYTES = 184
PAYLOAD = bytes(range(PAYLOAD_BYTES))


class Ours:
    """Two segments of ours; the items are tickers, in slots of 128 bytes."""

    item_bytes = 64

    def __init__(self, folder: str, first: bool) -> None:
        from hftcore.shm import ShmReader, ShmWriter
        from hftcore.types import Ticker

        names = (f"{folder}/there.shm", f"{folder}/back.shm")
        out, back = names if first else names[::-1]
        self.item = Ticker(exchange="kraken", symbol="btc/usdt", bidPrice=1.5, askPrice=2.5)
        self._writer = ShmWriter(out, Ticker, exchange="kraken", capacity=1 << 16)
        self._reader = ShmReader(back, Ticker, wait="spin")

    def ping(self, count: int) -> None:
        put, get, item = self._writer.put, self._reader.get_wait, self.item
        for _ in range(count):
            put(item)
            get()

    def pong(self, count: int) -> None:
        put, get = self._writer.put, self._reader.get_wait
        for _ in range(count):
            put(get())

    def flood(self, count: int) -> None:
        put, item = self._writer.put, self.item
        for _ in range(count):
            put(item)

    def sink(self, count: int, callback: Callable[[Any], object]) -> None:
        drain, get = self._reader.drain, self._reader.get_wait
        callback(get())
        taken = 1
        while taken < count:
            taken += drain(callback)
        assert self._reader.stats["positions_lost"] == 0

    def close(self) -> None:
        self._reader.close()
        self._writer.close()


class PythonRing:
    """What Python has to offer by itself: multiprocessing.shared_memory with a sequence per slot."""

    item_bytes = PAYLOAD_BYTES
    SLOT = 8 + PAYLOAD_BYTES
    SLOTS = 1 << 16

    def __init__(self, folder: str, first: bool) -> None:
        tag = "hft-bench" + folder.replace("/", "-")[-40:]
        there, back = self._open(f"{tag}-there", first), self._open(f"{tag}-back", first)
        self._shared = (there, back)
        self._first = first
        self._out, self._in = (there, back) if first else (back, there)
        self._words = [block.buf.cast("Q") for block in (self._out, self._in)]
        self._written = self._read = 0

    def _open(self, name: str, create: bool) -> shared_memory.SharedMemory:
        block = shared_memory.SharedMemory(name, create, self.SLOT * self.SLOTS)
        if not create:
            resource_tracker.unregister(block._name, "shared_memory")  # type: ignore[attr-defined]
        return block

    def put(self, payload: bytes) -> None:
        number, words = self._written, self._words[0]
        at = (number % self.SLOTS) * self.SLOT
        words[at // 8] = 2 * number + 1
        self._out.buf[at + 8 : at + 8 + PAYLOAD_BYTES] = payload
        words[at // 8] = 2 * number + 2
        self._written = number + 1

    def get(self) -> bytes:
        number, words = self._read, self._words[1]
        at = (number % self.SLOTS) * self.SLOT
        index, wanted = at // 8, 2 * number + 2
        while True:
            while words[index] != wanted:
                pass
            payload = bytes(self._in.buf[at + 8 : at + 8 + PAYLOAD_BYTES])
            if words[index] == wanted:
                self._read = number + 1
                return payload

    def ping(self, count: int) -> None:
        put, get, item = self.put, self.get, PAYLOAD
        for _ in range(count):
            put(item)
            get()

    def pong(self, count: int) -> None:
        put, get = self.put, self.get
        for _ in range(count):
            put(get())

    def close(self) -> None:
        for words in self._words:
            words.release()
        for block in self._shared:
            block.close()
            if self._first:
                block.unlink()


class _Payload(ctypes.Structure):
    _fields_ = [("words", ctypes.c_uint8 * PAYLOAD_BYTES)]

    @staticmethod
    def type_name() -> str:
        return "hftpy_bench_184"


class Iceoryx2:
    """iceoryx2's publish-subscribe, polled; a sample is read as bytes."""

    item_bytes = PAYLOAD_BYTES

    def __init__(self, folder: str, first: bool) -> None:
        import iceoryx2 as iox2

        iox2.set_log_level(iox2.LogLevel.Error)
        self._node = iox2.NodeBuilder.new().create(iox2.ServiceType.Ipc)
        tag = f"hftpy-bench{folder}"

        def service(name: str) -> Any:
            found = iox2.ServiceName.new(f"{tag}/{name}")
            return self._node.service_builder(found).publish_subscribe(_Payload).open_or_create()

        self._services = service("there"), service("back")
        out, back = self._services if first else self._services[::-1]
        self._publisher = out.publisher_builder().create()
        self._subscriber = back.subscriber_builder().create()
        self.item = _Payload.from_buffer_copy(PAYLOAD)

    def get(self) -> bytes:
        receive = self._subscriber.receive
        while (sample := receive()) is None:
            pass
        payload = ctypes.string_at(ctypes.addressof(sample.payload().contents), PAYLOAD_BYTES)
        sample.delete()
        return payload

    def ping(self, count: int) -> None:
        send, get, item = self._publisher.send_copy, self.get, self.item
        for _ in range(count):
            send(item)
            get()

    def pong(self, count: int) -> None:
        send, get, item = self._publisher.send_copy, self.get, self.item
        for _ in range(count):
            get()
            send(item)

    def close(self) -> None:
        self._publisher.delete()
        self._subscriber.delete()


class Zmq:
    """pyzmq over a unix socket; PAIR is its fastest."""

    item_bytes = PAYLOAD_BYTES

    def __init__(self, folder: str, first: bool) -> None:
        import zmq

        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PAIR)
        self._socket.linger = 0
        self._socket.set_hwm(0)
        if first:
            self._socket.bind(f"ipc://{folder}/pair")
        else:
            self._socket.connect(f"ipc://{folder}/pair")

    def ping(self, count: int) -> None:
        send, recv, item = self._socket.send, self._socket.recv, PAYLOAD
        for _ in range(count):
            send(item)
            recv()

    def pong(self, count: int) -> None:
        send, recv = self._socket.send, self._socket.recv
        for _ in range(count):
            send(recv())

    def flood(self, count: int) -> None:
        send, item = self._socket.send, PAYLOAD
        for _ in range(count):
            send(item)

    def sink(self, count: int, callback: Callable[[Any], object]) -> None:
        recv = self._socket.recv
        for _ in range(count):
            callback(recv())

    def close(self) -> None:
        self._socket.close()
        self._context.destroy(linger=0)


SIDES: dict[str, Callable[[str, bool], Any]] = {"ours": Ours, "python": PythonRing, "iceoryx2": Iceoryx2, "zmq": Zmq}


class Pair:
    """A side of each kind in this process, and its other half in a child that sleeps until it is asked."""

    def __init__(self, name: str, folder: str, cpus: tuple[int, int]) -> None:
        self._cpus = cpus
        self._before = os.sched_getaffinity(0)
        self.near = SIDES[name](folder, True)
        command = [sys.executable, __file__, name, folder, str(cpus[1])]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._expect("ready")

    def _expect(self, word: str) -> None:
        assert self._child.stdout is not None
        said = self._child.stdout.readline().strip()
        if said != word:
            raise RuntimeError(f"the other process must say {word!r}, was {said!r}")

    def _with_other(self, order: str, work: Callable[[], object]) -> None:
        assert self._child.stdin is not None
        os.sched_setaffinity(0, {self._cpus[0]})
        try:
            self._child.stdin.write(order + "\n")
            self._child.stdin.flush()
            self._expect("go")
            work()
            self._expect("done")
        finally:
            os.sched_setaffinity(0, self._before)

    def round_trips(self, count: int) -> None:
        """Send `count` items and get each of them back."""
        self._with_other(f"pong {count}", lambda: self.near.ping(count))

    def flood(self, count: int, callback: Callable[[Any], object]) -> None:
        """Get `count` items from the other process, as fast as they go, each into the callback."""
        self._with_other(f"flood {count}", lambda: self.near.sink(count, callback))

    def close(self) -> None:
        self._child.communicate("end\n", timeout=30)
        self.near.close()


def main(name: str, folder: str, cpu: int) -> None:
    # A child that spins must not outlive a benchmark that was killed.
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    os.sched_setaffinity(0, {cpu})
    side = SIDES[name](folder, False)
    print("ready", flush=True)
    for line in sys.stdin:
        order, _, count = line.strip().partition(" ")
        if order == "end":
            break
        print("go", flush=True)
        getattr(side, order)(int(count))
        print("done", flush=True)
    side.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
