"""A WebSocket server in a process of its own that floods: it answers each message, a number, with as many frames.

Written for bench_feed.py. It builds what it sends beforehand and hands it to the kernel in large pieces, so that it is
never the slower side. Prints its port.
"""

import base64
import hashlib
import socket
import struct
import sys
import threading

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def exactly(connection: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        more = connection.recv(size - len(found))
        if not more:
            raise EOFError
        found += more
    return found


def message(connection: socket.socket) -> tuple[int, bytes]:
    """One short masked frame: its kind and payload."""
    first, second = exactly(connection, 2)
    mask, data = exactly(connection, 4), exactly(connection, second & 0x7F)
    return first & 0x0F, bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))


def serve(connection: socket.socket, frames: list[bytes]) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    request = b""
    while not request.endswith(b"\r\n\r\n"):
        request += connection.recv(4096)
    headers = {line.partition(b":")[0].lower(): line.partition(b":")[2].strip() for line in request.split(b"\r\n")}
    accept = base64.b64encode(hashlib.sha1(headers[b"sec-websocket-key"] + GUID).digest())
    connection.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        + accept
        + b"\r\n\r\n"
    )
    try:
        while True:
            kind, data = message(connection)
            if kind == 8:
                connection.sendall(b"\x88\x00")
                break
            if kind == 1:
                count = int(data)
                whole = b"".join(frames) * (count // len(frames)) + b"".join(frames[: count % len(frames)])
                connection.sendall(whole)
    except (EOFError, OSError):
        pass
    connection.close()


def main() -> None:
    """Payloads come on standard input, one per line; it serves until its standard input ends."""
    payloads = [line.rstrip(b"\n") for line in iter(sys.stdin.buffer.readline, b"\n")]
    frames = [b"\x81\x7e" + struct.pack("!H", len(payload)) + payload for payload in payloads]
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection, frames), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
