"""``hftpy record``: the raw frames of a venue's streams, and its list of instruments, as a session."""

import asyncio
import signal
from pathlib import Path
from typing import Any, TextIO

from hftcore.enums import Channel, Exchange
from hftpy.errors import VenueError
from hftpy.exchange import get_exchange_stream
from hftpy.exchange.hooks import FRAME_TAP
from hftpy.exchange.instruments import VENUES, fetch_instruments
from hftpy.sim.recorder import Compression, SessionRecorder


class Deaf:
    """An observer that takes everything and keeps nothing: what is recorded are the frames."""

    def __init__(self) -> None:
        for channel in Channel:
            setattr(self, f"{channel}_queue", self)

    def put_nowait(self, item: Any) -> None:
        """Take an item."""


async def record(
    venue: str,
    pairs: list[str],
    channels: list[str],
    folder: Path,
    *,
    compression: Compression,
    max_file_bytes: int,
    seconds: float | None,
    api_host: str | None,
    rest_host: str | None,
    subscribe_args: dict[str, Any],
    out: TextIO,
) -> int:
    """Record until SIGINT, SIGTERM, the end of `seconds`, or of the stream, or a file cannot be written.

    Returns
    -------
    int
        0; 1 if the venue sent nothing; 3 if messages were lost because the disk was too slow.

    Raises
    ------
    ValueError
        If an argument cannot be used.
    VenueError
        If the venue refuses everything.
    OSError
        If a file cannot be written.
    """
    exchange = Exchange.parse(venue)
    stream = get_exchange_stream(
        exchange, currency_pairs=pairs, subscribe_channels=channels, api_host=api_host, subscribe_args=subscribe_args,
        api_auth_data={"rest_host": rest_host} if rest_host else None,
        stale_after=0,
    )  # fmt: skip
    loop, failed = asyncio.get_running_loop(), asyncio.Event()
    recorder = SessionRecorder(
        folder, str(exchange), exchange, compression=compression, max_file_bytes=max_file_bytes,
        on_failure=lambda: loop.call_soon_threadsafe(failed.set),
    )  # fmt: skip
    try:
        await _instruments(recorder, exchange, rest_host, ask=rest_host is not None or api_host is None, out=out)
        stream.bind_observer(Deaf())
        FRAME_TAP.set(recorder)
        running = asyncio.create_task(stream.start())
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stream.stop)
        broken = asyncio.create_task(failed.wait())
        await asyncio.wait({running, broken}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        broken.cancel()
        await stream.stop()
        await running
    finally:
        try:
            recorder.close()
        finally:
            for path in recorder.files:
                out.write(f"{path}\n")
            out.write(f"{recorder.messages} messages recorded, {recorder.lost} lost\n")
    if recorder.lost:
        return 3
    if not recorder.received:
        out.write(f"nothing came from {exchange}\n")
        return 1
    return 0


async def _instruments(recorder: SessionRecorder, exchange: Exchange, host: str | None, ask: bool, out: TextIO) -> None:
    # Another venue's host says nothing about the one that is recorded.
    if not ask or exchange not in VENUES:
        return
    try:
        _, url, body = await fetch_instruments(exchange, host, register=False)
    except (VenueError, ValueError) as error:
        out.write(f"without the list of instruments: {error}\n")
        return
    recorder.http(url, body)
