"""NativeSocket on real sockets, beside pyzmq: sends, receives, large frames, closed sockets, and the way without."""

import gc
import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import zmq

from hftcore import zmq as native
from hftcore.zmq import ZERO_COPY_BYTES, NativeSocket, release_sent

Pair = tuple[zmq.Socket[bytes], zmq.Socket[bytes]]


@pytest.fixture
def sockets() -> Iterator[Pair]:
    """A PUSH and a PULL socket, connected."""
    with zmq.Context() as context, context.socket(zmq.PUSH) as push, context.socket(zmq.PULL) as pull:
        push.linger = pull.linger = 0
        port = pull.bind_to_random_port("tcp://127.0.0.1")
        push.connect(f"tcp://127.0.0.1:{port}")
        push.send(b"")  # waits for the connection
        assert pull.recv() == b""
        yield push, pull


def receive(socket: NativeSocket) -> bytes:
    end = time.monotonic() + 20
    while (frame := socket.recv()) is None:
        assert time.monotonic() < end
        time.sleep(0.001)
    return frame


def test_frames_pass_between_ours_and_pyzmq_s(sockets: Pair) -> None:
    push, pull = sockets
    ours, theirs = NativeSocket(push), NativeSocket(pull)
    assert ours.native and theirs.native and ours.socket is push
    frames: list[Any] = [b"", b"x", bytes(range(256)), b"y" * ZERO_COPY_BYTES, b"z" * 1_000_000]
    for frame in [*frames, bytearray(b"abc"), memoryview(b"abcd")[1:]]:
        assert ours.send(frame) is True
        assert pull.recv() == bytes(frame)
        push.send(frame)
        assert receive(theirs) == bytes(frame)
        assert ours.send(frame)
        assert receive(theirs) == bytes(frame)
    assert theirs.recv() is None
    for bad in ("text", None, 5):
        with pytest.raises(TypeError):
            ours.send(bad)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"must be a zmq\.Socket"):
        NativeSocket("socket")  # type: ignore[arg-type]


def test_a_full_pipe_refuses_and_loses_nothing() -> None:
    with zmq.Context() as context, context.socket(zmq.PUSH) as push:
        push.linger = 0
        ours = NativeSocket(push)
        big = b"y" * ZERO_COPY_BYTES
        before = sys.getrefcount(big)
        # Nobody is there to take it.
        assert ours.send(b"x") is False and ours.send(big) is False
        release_sent()
        assert sys.getrefcount(big) == before


def test_large_frames_are_kept_while_libzmq_needs_them(sockets: Pair) -> None:
    push, pull = sockets
    ours = NativeSocket(push)
    frame = b"y" * 100_000
    before = sys.getrefcount(frame)
    for _ in range(20):
        assert ours.send(frame)
    assert sys.getrefcount(frame) > before
    for _ in range(20):
        assert pull.recv() == frame
    end = time.monotonic() + 20
    while sys.getrefcount(frame) != before:
        assert time.monotonic() < end
        release_sent()
        time.sleep(0.001)
    assert release_sent() == 0


def test_large_frames_released_by_libzmq_s_threads_need_no_gil() -> None:
    """The thread that terminates the context holds the GIL, while libzmq's threads let go of what was not sent."""
    context = zmq.Context()
    publisher, subscriber = context.socket(zmq.PUB), context.socket(zmq.SUB)
    port = publisher.bind_to_random_port("tcp://127.0.0.1")
    subscriber.rcvhwm = 1
    subscriber.connect(f"tcp://127.0.0.1:{port}")
    subscriber.subscribe(b"")
    ours = NativeSocket(publisher)
    frame = b"y" * 200_000
    before = sys.getrefcount(frame)
    end = time.monotonic() + 20
    while not subscriber.poll(1):
        assert time.monotonic() < end
        ours.send(frame)
    for _ in range(200):
        ours.send(frame)
    publisher.close(linger=0)
    subscriber.close(linger=0)
    context.term()
    release_sent()
    assert sys.getrefcount(frame) == before


def test_closed_and_terminated_are_typed_errors(sockets: Pair) -> None:
    push, _ = sockets
    ours = NativeSocket(push)
    assert not ours.closed
    push.close()
    assert ours.closed
    for call in (lambda: ours.send(b"x"), lambda: ours.send(b"x" * 600), ours.recv):
        with pytest.raises(zmq.ZMQError) as caught:
            call()
        assert caught.value.errno == zmq.ENOTSOCK
    with pytest.raises(zmq.ZMQError):
        NativeSocket(push)


def test_a_context_that_is_being_terminated() -> None:
    context = zmq.Context()
    socket = context.socket(zmq.PULL)
    ours = NativeSocket(socket)
    thread = threading.Thread(target=context.term)
    thread.start()
    with pytest.raises(zmq.ContextTerminated):
        end = time.monotonic() + 20
        while time.monotonic() < end:
            assert ours.recv() is None
    socket.close()
    thread.join()


def test_what_the_socket_does_not_do_is_an_error(sockets: Pair) -> None:
    push, pull = sockets
    with pytest.raises(zmq.ZMQError) as caught:
        NativeSocket(pull).send(b"x")
    assert caught.value.errno == zmq.ENOTSUP
    with pytest.raises(zmq.ZMQError) as caught:
        NativeSocket(pull).send(b"x" * 600)
    assert caught.value.errno == zmq.ENOTSUP
    with pytest.raises(zmq.ZMQError) as caught:
        NativeSocket(push).recv()
    assert caught.value.errno == zmq.ENOTSUP


def test_signals_do_not_disturb(sockets: Pair) -> None:
    push, pull = sockets
    ours, theirs = NativeSocket(push), NativeSocket(pull)
    seen = 0

    def handler(*_: object) -> None:
        nonlocal seen
        seen += 1

    old = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        for number in range(1_000):
            while not ours.send(b"%d" % number):
                time.sleep(0)
            assert receive(theirs) == b"%d" % number
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert seen


def test_without_libzmq_s_calls_pyzmq_s_are_used_and_a_warning_says_so(
    sockets: Pair, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    push, pull = sockets
    try:
        with caplog.at_level(logging.WARNING):
            assert native.load("/nonexistent.so") is False
            assert "were not found in pyzmq" in caplog.text
            # A library that lacks the calls, and a backend that is not the compiled one.
            caplog.clear()
            import hftcore.types

            assert native.load(hftcore.types.__file__) is False and "zmq_send" in caplog.text
            caplog.clear()
            monkeypatch.setitem(sys.modules, "zmq.backend.cython", None)
            assert native.load() is False and "were not found" in caplog.text
            monkeypatch.undo()
        ours, theirs = NativeSocket(push), NativeSocket(pull)
        assert not ours.native and not theirs.native and not ours.closed
        for frame in (b"x", b"y" * 1000, bytearray(b"z")):
            assert ours.send(frame) is True
            assert receive(theirs) == frame
        assert theirs.recv() is None
        push.close()
        assert ours.closed
        with pytest.raises(zmq.ZMQError):
            ours.send(b"x")
        with zmq.Context() as context, context.socket(zmq.PUSH) as lonely:
            assert NativeSocket(lonely).send(b"x") is False
    finally:
        assert native.load() is True
    assert NativeSocket(pull).native


def test_a_native_socket_keeps_the_socket_alive() -> None:
    script = (
        "import gc, zmq\nfrom hftcore.zmq import NativeSocket\n"
        "ours = NativeSocket(zmq.Context.instance().socket(zmq.PUB))\n"
        "gc.collect()\nassert ours.send(b'x') and not ours.closed\n"
        "ours.socket.close()\ndel ours\ngc.collect()\nprint('fine')\n"
    )
    run = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True, timeout=60)
    assert run.stdout == "fine\n", run.stderr


@pytest.mark.leak
def test_memory_is_flat(sockets: Pair) -> None:
    push, pull = sockets
    ours, theirs = NativeSocket(push), NativeSocket(pull)
    small, large = b"x" * 184, b"y" * 600

    def rounds(count: int) -> None:
        for _ in range(count):
            ours.send(small)
            ours.send(large)
            receive(theirs)
            receive(theirs)

    rounds(500)
    gc.collect()
    release_sent()
    before, refs = sys.getallocatedblocks(), sys.getrefcount(large)
    rounds(3_000)
    gc.collect()
    time.sleep(0.05)
    release_sent()
    assert sys.getallocatedblocks() - before < 200
    assert sys.getrefcount(large) <= refs + 1
