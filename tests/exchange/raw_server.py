"""A WebSocket server that writes its frames by hand, so that a test decides what stands in one read of the socket."""

import asyncio
import base64
import hashlib
import struct

TEXT, BINARY, CLOSE, PING, PONG, MORE = 1, 2, 8, 9, 10, 0


def frame(kind: int, payload: bytes, *, fin: bool = True, reserved: int = 0) -> bytes:
    """One unmasked frame."""
    first = bytes([(0x80 if fin else 0) | reserved << 4 | kind])
    if len(payload) < 126:
        return first + bytes([len(payload)]) + payload
    if len(payload) < 1 << 16:
        return first + b"\x7e" + struct.pack("!H", len(payload)) + payload
    return first + b"\x7f" + struct.pack("!Q", len(payload)) + payload


def text(payload: bytes) -> bytes:
    return frame(TEXT, payload)


class RawServer:
    """Takes one connection at a time; `greeting` goes out in the packet of the handshake's answer."""

    def __init__(self, greeting: bytes = b"", headers: bytes = b"") -> None:
        self.greeting = greeting
        self.headers = headers  # more of them in the handshake's answer, each with its line end
        self.connections: list[asyncio.StreamWriter] = []
        self.received: list[tuple[int, bytes]] = []
        self.changed = asyncio.Event()

    async def __aenter__(self) -> "RawServer":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self.connections:
            if not writer.transport.is_closing():
                writer.transport.abort()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in request.decode().split("\r\n")[1:-2])
            key = {name.lower(): value for name, value in headers.items()}["sec-websocket-key"]
            digest = hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
            writer.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: %b\r\n%b\r\n%b" % (base64.b64encode(digest), self.headers, self.greeting)
            )
            self.connections.append(writer)
            self.changed.set()
            while True:
                first, second = await reader.readexactly(2)
                size = second & 0x7F
                if size == 126:
                    size = struct.unpack("!H", await reader.readexactly(2))[0]
                elif size == 127:
                    size = struct.unpack("!Q", await reader.readexactly(8))[0]
                mask = await reader.readexactly(4)
                data = await reader.readexactly(size)
                unmasked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))
                self.received.append((first & 0x0F, unmasked))
                self.changed.set()
                if first & 0x0F == CLOSE:
                    writer.close()
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def until(self, condition, limit: float = 20.0) -> None:
        async with asyncio.timeout(limit):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    def send(self, data: bytes) -> None:
        """In one piece, as far as the kernel likes."""
        self.connections[-1].write(data)

    def of(self, kind: int) -> list[bytes]:
        return [data for found, data in self.received if found == kind]
