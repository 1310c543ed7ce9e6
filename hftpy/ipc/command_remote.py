"""A process whose commands are received: its XSUB socket, and who reads it."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import zmq

from hftcore.zmq import NativeSocket
from hftpy.ipc.command_protocol import Answer, encode_answer
from hftpy.ipc.curve_link import CurveLink
from hftpy.ipc.tcp import RemoteEndpoint, TcpEndpoints
from hftpy.ipc.transport import STOP_LINGER_MS, FrameReader, connect

_TURN_FRAMES = 128  # read before others get the event loop


class Remote:
    """The connection to another process's address.

    Parameters
    ----------
    process_id, path
        Whose, and where; a path of None needs a `tcp`.
    subscriptions
        What to receive of it.
    receive_hwm
        How many frames may wait to be read.
    tcp
        Our tcp endpoints, and the process's.
    """

    def __init__(
        self,
        process_id: str,
        path: Path | None,
        subscriptions: list[bytes],
        receive_hwm: int,
        tcp: tuple[TcpEndpoints, RemoteEndpoint] | None = None,
    ) -> None:
        self.process_id = process_id
        # One socket per remote: a frame upstream on a socket with several would reach each of them.
        self._socket = connect(path, zmq.XSUB, receive_hwm=receive_hwm, watched=True)
        self._native = NativeSocket(self._socket)
        self.link = None if tcp is None else CurveLink(self._socket, *tcp)
        for prefix in subscriptions:
            self._native.send(b"\x01" + prefix)
        self._reader: FrameReader | None = None
        self._is_reading = False
        self.is_heard = False  # it speaks the protocol: what we say to it may take a while to leave

    def attach(
        self,
        loop: asyncio.AbstractEventLoop,
        take: Callable[["Remote", bytes], None],
        begin_turn: Callable[[], None],
        end_turn: Callable[[], None],
    ) -> None:
        """Give its frames to `take` on this loop, if they are not yet, between a call of each of the others."""
        if self._reader is not None:
            return

        def read(limit: int) -> bool:
            limit = min(limit, _TURN_FRAMES)
            frame = self._native.recv()
            while frame is not None:
                self._is_reading = True
                begin_turn()
                try:
                    while frame is not None:
                        take(self, frame)
                        limit -= 1
                        if self._reader is None:
                            return False  # a handler has stopped us
                        frame = self._native.recv() if limit > 0 else None
                finally:
                    end_turn()
                    self._is_reading = False
                if limit <= 0:
                    return True
                # What was said may have consumed the socket's edge.
                frame = self._native.recv() if self._reader is not None else None
            return False

        self._reader = FrameReader(loop, self._socket, read)
        if self.link is not None:
            self.link.attach(loop)

    def answer(self, answer: Answer) -> None:
        """Say something to it."""
        if not self._socket.closed:
            self._native.send(encode_answer(answer))
            if self._reader is not None and not self._is_reading:
                self._reader.poke()

    def detach(self) -> None:
        """Read no more."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self.link is not None:
            self.link.detach()

    def close(self) -> None:
        """Leave; what was said last may take a while, if it is heard at all."""
        self.detach()
        if self.link is not None:
            self.link.close()
        self._socket.close(linger=STOP_LINGER_MS if self.is_heard else 0)
