"""``hftpy replay``: a recording in place of a service's streams, with the recording's own clock and order."""

import asyncio
import inspect
import json
import math
import signal
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

import msgspec

from hftpy.common.secrets import Secret
from hftpy.errors import ConfigError
from hftpy.exchange.hooks import SESSION_SOURCE
from hftpy.service import GatewayService, ServiceBase, ServiceConfig, load_config
from hftpy.service.loader import load_service
from hftpy.sim.recording import session_header
from hftpy.sim.session_source import OKX, PLAYED, RecordedSource

HOOKS = (
    "on_ticker", "on_trade", "on_book", "on_kline", "on_funding", "on_gap", "on_stale", "on_reconnected",
)  # fmt: skip
TURNS_TO_START = 1000
NO_KEY = "cmVwbGF5"  # of no account; base64, as Kraken's secrets are


class EventLog:
    """Writes each call of a service's hooks as one JSON line, and knows whether one is at work.

    Parameters
    ----------
    service
        Whose hooks are listened to.
    out
        Where to write; None: nowhere.
    """

    def __init__(self, service: ServiceBase, out: TextIO | None) -> None:
        self._service = service
        self._out = out
        self.events = 0
        self._at_work = 0
        for name in HOOKS:
            setattr(service, name, self._listen(name.removeprefix("on_"), getattr(service, name)))

    async def settled(self) -> None:
        """Wait until no hook is at work and nothing waits for one."""
        await asyncio.sleep(0)
        while self._at_work or not self._service.market_idle:  # noqa: ASYNC110  turn by turn, so that nothing is late
            await asyncio.sleep(0)

    def _listen(self, name: str, hook: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def called(item: Any) -> Any:
            self.events += 1
            if self._out is not None:
                self._out.write(json.dumps({"event": name, **_fields(item)}) + "\n")
            self._at_work += 1
            try:
                result = hook(item)
            except BaseException:
                self._at_work -= 1
                raise
            if inspect.isawaitable(result):
                return self._finish(result)
            self._at_work -= 1
            return result

        return called

    async def _finish(self, result: Awaitable[Any]) -> Any:
        try:
            return await result
        finally:
            self._at_work -= 1


def _fields(item: Any) -> dict[str, Any]:
    fields: dict[str, Any] = item.to_dict() if hasattr(item, "to_dict") else msgspec.structs.asdict(item)
    for name in ("exchange", "channel"):
        if name in fields:
            fields[name] = str(fields[name])
    # JSON has no NaN: what the venue did not tell.
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in fields.items()}


def choose(path: Path, name: str | None) -> ServiceConfig:
    """The section of a config that is replayed into.

    Raises
    ------
    ConfigError
        If there is none of that name, or no name is given and there are several.
    """
    configs = load_config(path)
    wanted = [config for config in configs if name in (None, config.section, config.section.partition(".")[2])]
    if len(wanted) != 1:
        names = ", ".join(config.section for config in configs)
        raise ConfigError(f"service must name one section of {path} ({names}), was {name!r}")
    return wanted[0]


def _cut_off(config: ServiceConfig) -> ServiceConfig:
    """Without what would reach beyond the recording: accounts, other hosts, the state that the service keeps."""
    setting = config.setting
    for account in (*setting.apis, *setting.ws_apis, *setting.streams):
        for part in ("api_key", "api_secret"):
            if getattr(account, part):
                setattr(account, part, Secret(NO_KEY))
    setting.ipc_tcp = None
    setting.state.folder = None
    return config


async def replay(
    sessions: Sequence[Path], config: Path, name: str | None, speed: float, events: Path | None, out: TextIO
) -> int:
    """Play a recording into a service, then stop the service.

    Parameters
    ----------
    sessions
        The recording's files, in their order.
    config, name
        The config, and which of its sections.
    speed
        1 as recorded, 0 flat out.
    events
        Where to write each call of a hook, as a JSON line; None: nowhere.
    out
        Where to say what was played, and what the recording has not.

    Returns
    -------
    int
        0 if the recording was played to its end, 1 if the service ended before.

    Raises
    ------
    ConfigError
        If the config cannot be used.
    ValueError
        If the recording cannot be used, or the service has no stream for it.
    OSError
        If a file cannot be read or written.
    """
    service = load_service(_cut_off(choose(config, name)))
    if isinstance(service, GatewayService):
        raise ConfigError(f"{service.config.section} is a gateway: what is replayed are services that trade by one")
    log_file = events.open("w", encoding="utf-8") if events is not None else None
    try:
        log = EventLog(service, log_file)
        source = RecordedSource(sessions, log.settled, speed)
        service.tell_time_by(source.clock_ns)
        SESSION_SOURCE.set(source)
        loop = asyncio.get_running_loop()
        running = asyncio.create_task(service.run())
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, service.request_stop)
        playing = asyncio.create_task(_play(service, source))
        await asyncio.wait({running, playing}, return_when=asyncio.FIRST_COMPLETED)
        finished = playing.done()
        service.request_stop()
        if not finished:
            playing.cancel()
        await asyncio.gather(running, playing, return_exceptions=True)
        if not playing.cancelled():
            playing.result()
        running.result()
        for note in (*source.notes, *_neighbours(sessions)):
            out.write(f"note: {note}\n")
        ended = "" if finished else "; stopped before the end"
        out.write(f"{source.frames} frames replayed, {log.events} events{ended}\n")
        return 0 if finished else 1
    finally:
        if log_file is not None:
            log_file.close()


def _neighbours(sessions: Sequence[Path]) -> list[str]:
    """What of a rotated recording was not given."""
    notes = []
    first, last = sessions[0], sessions[-1]
    before = session_header(first).get("continues")
    if before:
        notes.append(f"{first} goes on from {before}, which was not given")
    for path in sorted(last.parent.glob(f"{last.name.partition('.')[0]}.*.jsonl*")):
        if path not in sessions and session_header(path).get("continues") == last.name:
            notes.append(f"{last} is continued by {path}, which was not given")
    return notes


async def _play(service: ServiceBase, source: RecordedSource) -> None:
    while service.state != "running":  # noqa: ASYNC110  a service has no event for it
        await asyncio.sleep(0.01)
    # Each channel of each stream asks for the source in a task of its own.
    wanted = sum(
        len(set(stream.subscribe_channels) & set(PLAYED))
        for stream in service.streams
        if stream.exchange is source.exchange or {stream.exchange, source.exchange} <= set(OKX)
    )
    for _ in range(TURNS_TO_START):
        if len(source.sessions) >= wanted:
            break
        await asyncio.sleep(0)
    await source.play()
