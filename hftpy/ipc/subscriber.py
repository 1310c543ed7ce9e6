"""Receiving market data and account events from other processes."""

import asyncio
import os
import weakref
from collections.abc import Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any

from hftcore.enums import Channel, Exchange
from hftpy.common.paths import get_root
from hftpy.ipc.endpoint import WAITS, Source, check_transport, checked_hwm, make_source
from hftpy.ipc.observers import Observers
from hftpy.ipc.tcp import TcpEndpoints

DEFAULT_HWM = 100_000
SILENCE_LIMIT_S = 5.0

Subscription = tuple[Exchange | str, Channel | str, str | Sequence[str]]


class _Run:
    """One call of `start()`, known from the call on, not from its first step."""

    def __init__(self) -> None:
        self.stopped = asyncio.Event()


class IPCSubscriber:
    """Receives what publishers of this host, or of others over tcp, send, and puts it into the queues of its observers.

    Parameters
    ----------
    subscriptions
        Triples of exchange, channel and symbols; no symbols ("" or []) are all of them.
    root
        The root folder; None for `hftpy.common.get_root()`.
    transport
        ``zmq``, or ``shm``: tickers and trades through shared memory (docs/shm.md), all else as ``zmq``.
    receive_hwm
        How many messages of one address may wait here before the publisher's side fills.
    wait
        How ``shm`` waits: ``adaptive`` (a thread spins for 50 µs after a message, then sleeps), ``park``, ``spin``.
    silence_limit_s
        After how many seconds without any frame, heartbeats included, the observers are told `Stale`.
    tcp
        Which channels peers serve over tcp (docs/tcp.md): those come from there. None: none.

    Raises
    ------
    ConfigError
        If the transport does not exist or the channel has no wire format.
    ValueError
        If an exchange, a channel or a symbol is not one, or a symbol is too long for a topic; if `receive_hwm` is not
        1 to 2147483647, or `silence_limit_s` no number above 0.
    TypeError
        If `receive_hwm` is no int.

    Thread safety: the event loop's thread alone.
    """

    def __init__(
        self,
        subscriptions: Iterable[Subscription],
        root: str | os.PathLike[str] | None = None,
        transport: str = "zmq",
        *,
        receive_hwm: int = DEFAULT_HWM,
        wait: str = "adaptive",
        silence_limit_s: float = SILENCE_LIMIT_S,
        tcp: TcpEndpoints | None = None,
    ) -> None:
        check_transport(transport)
        if wait not in WAITS:
            raise ValueError(f"wait must be one of {', '.join(WAITS)}, was {wait!r}")
        self._receive_hwm = checked_hwm("receive_hwm", receive_hwm)
        if not isinstance(silence_limit_s, (int, float)) or not silence_limit_s > 0:
            raise ValueError(f"silence_limit_s must be a number above 0, was {silence_limit_s!r}")
        wanted = [(Exchange.parse(ex), Channel.parse(channel), symbols) for ex, channel, symbols in subscriptions]
        if not wanted:
            raise ValueError("a subscriber needs at least one subscription")
        self._root = Path(os.path.abspath(root)) if root is not None else get_root()
        self._silence_limit_s = silence_limit_s
        self._observers = Observers(channel for _, channel, _ in wanted)
        self._sources: dict[tuple[Exchange, Channel], Source] = {}
        for exchange, channel, symbols in wanted:
            key = (exchange, channel)
            source = self._sources.get(key)
            if source is None:
                source = make_source(transport, exchange, channel, self._observers, wait, tcp)
                self._sources[key] = source
            source.add_symbols([symbols] if isinstance(symbols, str) and symbols else symbols)
        self._runs: weakref.WeakSet[_Run] = weakref.WeakSet()
        self._running = False

    def bind_observer(self, observer: object) -> None:
        """Add an observer: an object with a queue ``{channel}_queue`` for each channel that is subscribed.

        Gaps, silence and new connections go to its `event_queue`, or else to its `on_gap`, `on_stale` and
        `on_reconnected`, where it has them.

        Raises
        ------
        ObserverError
            If a queue is missing.
        """
        self._observers.bind(observer)

    def start(self) -> Coroutine[Any, Any, None]:
        """Receive until `stop()`.

        Returns
        -------
        Coroutine
            To be awaited, or made a task. A `stop()` that comes before its first step ends it all the same.

        Raises
        ------
        ObserverError
            If an observer has lost a queue since it was bound.
        RootError
            If the root cannot be used.
        RuntimeError
            If it runs already.
        """
        run = _Run()
        self._runs.add(run)
        return self._receive(run)

    async def _receive(self, run: "_Run") -> None:
        if run.stopped.is_set():
            return
        if self._running:
            raise RuntimeError("the subscriber runs already")
        self._observers.refresh()
        loop = asyncio.get_running_loop()
        self._running = True
        try:
            for source in self._sources.values():
                source.open(self._root, loop, self._receive_hwm)
            while not run.stopped.is_set():
                try:
                    await asyncio.wait_for(run.stopped.wait(), 1.0)
                except TimeoutError:
                    for source in self._sources.values():
                        source.check_silence(self._silence_limit_s)
                    self._observers.count_refused()
        finally:
            for source in self._sources.values():
                source.close()
            self._observers.close()
            self._running = False

    def stop(self) -> None:
        """End every `start()` that was called before; nothing is delivered after this returns."""
        for source in self._sources.values():
            source.close()
        for run in self._runs:
            run.stopped.set()

    @property
    def stats(self) -> dict[str, Any]:
        """Counters over all addresses, and ``last_seq`` of each topic by address (``kraken.ticker``)."""
        sources = self._sources.values()
        for source in sources:
            source.sync()
        counters = ("received", "lost", "gaps", "malformed", "duplicates", "filtered", "restarts", "tcp_refused")
        return {
            **{name: sum(getattr(source, name) for source in sources) for name in counters},
            "queue_full": self._observers.queue_full.total(),
            "queue_full_by_channel": dict(self._observers.queue_full),
            "observer_errors": self._observers.failed,
            "last_seq": {str(source): source.last_seq() for source in sources},
        }
