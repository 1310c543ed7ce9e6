"""ServiceBase: what a user subclasses. It is its own observer: streams and subscribers fill its queues, one coroutine
per channel calls the hooks.

A service lives on one event loop; of its methods only `run_once` and `request_stop` may be called from other threads.
"""

import asyncio
import contextlib
import inspect
import logging
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from typing import Any

from hftcore.latency import LatencyHistogram
from hftcore.strategy import NativeStrategy
from hftpy.common import Channel, Exchange, Side
from hftpy.common.log import LimitedLog
from hftpy.errors import Interrupted, TradingRefused
from hftpy.exchange import StreamBase
from hftpy.exchange.hooks import SESSION_SOURCE
from hftpy.ipc import IPCCommandSystem, IPCPublisher, IPCSubscriber
from hftpy.service import wiring
from hftpy.service.background import Background
from hftpy.service.calls import Calls, OneCall
from hftpy.service.config import ServiceConfig
from hftpy.service.control import IN_ON_STOP
from hftpy.service.delivery import QUEUE_CAPACITY, RING_CAPACITY, Delivery
from hftpy.service.inbox import QueueInlet
from hftpy.service.keeping import ServiceKeeping
from hftpy.service.ordering import OrderDesk, OrderHandle
from hftpy.service.own_names import check_class, check_instance
from hftpy.service.status import INTERVAL_S, StatusFile
from hftpy.service.tasks import Timer, timers_of
from hftpy.service.watchdog import LoopWatchdog

log = logging.getLogger(__name__)

STOP_HOOK_S = 8.0  # a launcher kills after 10


class SetupAborted(Exception):
    """`on_setup` returned False, or the user's code raised before the service ran."""


class ServiceBase(ServiceKeeping):
    """One strategy, gateway or tool in one process.

    Subclasses override the hooks they need (see `ServiceHooks`): ``on_setup`` (False aborts), ``on_start``,
    ``on_stop``, ``on_ticker``, ``on_trade`` and so on, ``next`` for a loop of its own, and ``task_NAME`` for timers
    named in the config. Each may be a function or a coroutine function. A hook that raises is logged and counted; the
    service goes on. ``sleep``, ``interruptible`` and ``uninterruptible`` are for coroutines that commands interrupt.

    Attributes
    ----------
    process_id : str
        The name under which other processes know this one.
    params : dict, or `params_type`
        `params` of the config.
    ipc_publisher : IPCPublisher
        For publishing more than the config's `ipc_publish` does by itself.

    Parameters
    ----------
    config
        The service's section of the config.

    Raises
    ------
    ConfigError
        If its `params` are not as `params_type` says.
    """

    all_orders = False
    """Set True to see the orders and trades of every strategy that a gateway tells of, not only one's own. Those of
    the service's own `streams` are never filtered."""

    native_strategy: NativeStrategy | None = None
    """A strategy in Cython that gets the tickers and trades in place of `on_ticker` and `on_trade`, as structs; its
    `on_signal` is called like a hook. May be set at any time, best in `on_setup`."""

    def __init__(self, config: ServiceConfig) -> None:
        of_subclass = set(vars(self))
        super().__init__(config)
        self.counters: dict[str, int] = {
            "tickers": 0, "trades": 0, "books": 0, "klines": 0, "fundings": 0, "my_orders": 0, "my_trades": 0,
            "gaps": 0, "lost": 0, "stale": 0, "reconnects": 0, "errors": 0, "task_overruns": 0, "private_dropped": 0,
            "events_dropped": 0,
        }  # fmt: skip
        self.latency: dict[str, LatencyHistogram] = {}
        self._limited = LimitedLog(log)
        self._born_ns = time.time_ns()
        self._delivery = Delivery(self, config.setting.queues, self._born_ns)
        self.ticker_queue = self._delivery.tickers.ring
        self.trade_queue = self._delivery.trades.ring
        self.book_queue = self._delivery.books.ring
        self.kline_queue = self._delivery.klines.ring
        self.funding_queue = self._delivery.fundings.ring
        self.my_order_queue = self._delivery.my_orders
        self.my_order_batch_queue = self._delivery.my_order_batches
        self.my_trade_queue = self._delivery.my_trades
        self.event_queue = self._delivery.inlet
        publish = config.setting.ipc_publish
        self._tcp = wiring.make_tcp(config)
        transport = publish.transport if publish is not None else "zmq"
        self.ipc_publisher = IPCPublisher(transport=transport, tcp=self._tcp)
        self.streams: list[StreamBase] = []
        self.subscribers: list[IPCSubscriber] = []
        self._ipc_command: IPCCommandSystem | None = None
        self._apis: dict[str, Any] = {}
        self._desk = OrderDesk(self)
        self._timers: list[Timer] = []
        self._background = Background(self.process_id, self._count_error)
        self._calls = Calls(self.process_id, self._spawn, self._hook_failed)
        self._timer_tasks: list[asyncio.Task[Any]] = []
        self._stop_requested = asyncio.Event()
        self._status: StatusFile | None = None
        self._last_status: dict[str, Any] = {}
        self._watchdog = LoopWatchdog(
            self.process_id,
            config.setting.watchdog.threshold,
            self._tell_stall,
            lambda lag_ns: self.record_latency("loop_lag", lag_ns),
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failure: Exception | None = None
        self._born_with = {name: value for name, value in vars(self).items() if name not in of_subclass}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        check_class(cls)

    # What a subclass may call

    def __getattr__(self, name: str) -> Any:
        # Built-in accounts: kraken_api, kraken_ws_api.
        apis = self.__dict__.get("_apis", {})
        if name in apis:
            return apis[name]
        if name.endswith("_api"):
            raise AttributeError(f"{type(self).__name__} has no {name}: the config's apis and ws_apis do not name it")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    async def place_order(
        self,
        *,
        symbol: str,
        side: Side | str,
        amount: Decimal | float | int | str,
        price: Decimal | float | int | str | None = None,
        order_type: str = "limit",
        post_only: bool = False,
        exchange: Exchange | str | None = None,
    ) -> OrderHandle:
        """Send an order to the venue's gateway.

        Parameters
        ----------
        symbol
            A CurrencyPair, or any spelling of one.
        side
            ``buy`` or ``sell``.
        amount, price
            In base and quote currency; quantised by the gateway to the instrument's lot and tick. `price` None only
            for market orders.
        order_type
            ``limit`` or ``market``.
        post_only
            Refuse rather than take.
        exchange
            The venue; may be left out where the service knows one gateway.

        Returns
        -------
        OrderHandle
            Follows the order; its first state is NONE.

        Raises
        ------
        ValueError
            If an argument is no such thing, or there is no (single) gateway.
        TradingRefused
            If the service is paused or warming up; or is stopping, and this is not called from `on_stop`.
        """
        self._check_trading()
        return self._desk.place(
            symbol=symbol, side=side, amount=amount, price=price, order_type=order_type, post_only=post_only,
            exchange=exchange,
        )  # fmt: skip

    async def cancel_order(self, handle: OrderHandle) -> str:
        """Ask the gateway to cancel an order; returns the command's id."""
        return self._desk.cancel(handle)

    async def cancel_all(self, symbol: str | None = None) -> list[str]:
        """Ask every gateway to cancel this service's orders (of one symbol); returns the commands' ids."""
        return self._desk.cancel_all(symbol)

    def run_once(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> OneCall:
        """Call a function, or run a coroutine function, once on the service's loop. From any thread.

        Returns
        -------
        OneCall
            A `concurrent.futures.Future` that can be awaited too; may be dropped. What the call raises is there, and
            is logged and counted in any case.

        Raises
        ------
        RuntimeError
            If the service is not started, or has stopped; or 65,536 calls have not ended yet.
        """
        return self._calls.submit(function, args, kwargs)

    def request_stop(self) -> None:
        """Stop the service. From any thread, at any time; again, or after its end: nothing."""
        if self._loop is None:
            self._stop_requested.set()
        else:
            with contextlib.suppress(RuntimeError):  # the loop is closed: it has stopped long since
                self._loop.call_soon_threadsafe(self._stop_requested.set)

    def record_latency(self, hop: str, duration_ns: int) -> None:
        """Count one duration of a named hop; it shows in the status and the demo."""
        histogram = self.latency.get(hop)
        if histogram is None:
            histogram = self.latency[hop] = LatencyHistogram()
        histogram.record(duration_ns)

    @property
    def market_idle(self) -> bool:
        """Whether no market data, and no event about it, waits for a hook."""
        return self._delivery.market_idle

    def tell_time_by(self, clock_ns: Callable[[], int]) -> None:
        """Stamp what this service itself finds lost with another clock, ns since 1970, such as a recording's."""
        self._delivery.tell_time_by(clock_ns)

    def hook_called_ns(self) -> int:
        """When `on_ticker` or `on_trade` was called, if that is where the call comes from, ns since 1970; else 0."""
        return self._delivery.hook_called_ns()

    # The framework's part

    async def run(self) -> None:
        """Set up, start, serve until asked to stop, stop. Releases everything on every way out.

        Raises
        ------
        SetupAborted
            If `on_setup` returned False.
        ConfigError
            If the subclass has replaced an attribute of the framework's own.
        AddressInUseError
            If a process of its name runs, or owns what it is to publish.
        HftError
            If something could not be set up, or a stream gave up.
        RuntimeError
            If it was called before.
        """
        if self.state != "created":
            raise RuntimeError(f"{self.process_id} is {self.state}: a service runs once")
        check_instance(self, self._born_with)
        status = self._status = StatusFile(self.process_id)
        self._loop = asyncio.get_running_loop()
        self._calls.start()
        interrupted = False
        try:
            self._lifecycle = "setting up"
            interrupted = not await self._background.run_until(self._stop_requested, self._prepare())
            if interrupted:
                log.info("%s: asked to stop before it was running", self.process_id)
            else:
                self.has_run = True
                self._lifecycle = "paused" if self.paused else "running"
                self._begin_keeping()
                self._last_status = self._status_or_less()
                self._watchdog.start()
                self._spawn(self._write_status(status), "status")
                log.info("%s runs (%s), root %s", self.process_id, self.config.class_name, status.path.parent.parent)
                await self._background.run_until(self._stop_requested, self._guard("on_start", self.on_start))
                if not self._stop_requested.is_set():
                    self._begin_rounds()
                await self._stop_requested.wait()
        finally:
            self._lifecycle = "stopping"
            try:
                await self._end_own_work(self._timer_tasks)
                if self.has_run:
                    await self._guard("on_stop", self._call_on_stop)
            finally:  # whatever on_stop does: sys.exit() too
                last = self._status_or_less() if self.has_run else ServiceBase.status(self)
                try:
                    async with self._saved_at_the_end():
                        await self._release()
                finally:
                    self._watchdog.stop()
                    self._lifecycle = "failed" if self._failure or not (self.has_run or interrupted) else "stopped"
                    kept = {"counters": dict(self.counters), "saved_state": self._state_status()}
                    content = status.encode(last | {"state": self.state, **kept})
                    await self._quietly(lambda: status.write(content, final=True))
                    await self._quietly(status.close)
        if self._failure is not None:
            raise self._failure

    async def _prepare(self) -> None:
        await self._set_up()
        self._lifecycle = "starting"
        await self._start()

    async def _call_on_stop(self) -> None:
        IN_ON_STOP.set(True)
        async with asyncio.timeout(STOP_HOOK_S):
            result = self.on_stop()
            if inspect.isawaitable(result):
                await result

    def _hops(self) -> Iterator[tuple[str, LatencyHistogram]]:
        yield from self.latency.items()
        of_streams: dict[str, LatencyHistogram] = {}
        for stream in self.streams:
            for channel in stream.latency.values():
                for hop, histogram in channel.items():
                    of_streams.setdefault(hop, LatencyHistogram()).merge(histogram.to_dict())
        yield from of_streams.items()

    def status(self) -> dict[str, Any]:
        """What the status file tells: JSON types (numbers of money as text)."""
        command = self._ipc_command
        return {
            "process_id": self.process_id,
            "service": self.config.class_name,
            "state": self.state,
            **self._control_status(),
            **self._keeping_status(),
            "loop": self._watchdog.status(),
            "tasks": {timer.name: timer.status() for timer in self._timers},
            "counters": dict(self.counters),
            "queues": self._delivery.status(),
            "latency": {hop: histogram.to_dict() for hop, histogram in self._hops() if histogram.count},
            "streams": [
                {"exchange": str(stream.exchange), "channels": {str(k): v for k, v in stream.stats.items()}}
                for stream in self.streams
            ],
            "subscribers": [wiring.plain(subscriber.stats) for subscriber in self.subscribers],
            "publisher": wiring.plain(self.ipc_publisher.stats),
            "commands": wiring.plain(command.stats) if command is not None else None,
        }

    async def _set_up(self) -> None:
        setting = self.config.setting
        self._apis = wiring.make_apis(self.config)
        if setting.ipc_command_publisher is not None:
            self._ipc_command = IPCCommandSystem(setting.ipc_command_publisher, tcp=self._tcp)
            self._ipc_command.after_handlers(self._interrupts.end_call)
            self._register_control(self._ipc_command)
        self.streams = wiring.make_streams(self.config, QueueInlet(self), self.ipc_publisher)
        gateways = QueueInlet(self, self._desk.is_ours)
        self.subscribers = wiring.make_subscribers(self.config, gateways, self._desk.subscriptions(), self._tcp)
        self._timers = timers_of(self, setting.tasks)
        own = {name: getattr(self, name) for name in self._born_with}
        result = self.on_setup()
        if inspect.isawaitable(result):
            result = await result
        check_instance(self, own)
        if result is False:
            raise SetupAborted(f"{self.process_id}: on_setup returned False")
        await self._load_state()

    async def _start(self) -> None:
        setting = self.config.setting
        # First what another process may own: a second gateway shall not even connect to the venue.
        for exchange, channel in self._addresses():
            self.ipc_publisher.open(exchange, channel)
        if self._ipc_command is not None:
            await self._ipc_command.start()
        for name, api in self._apis.items():
            if name.endswith("_ws_api") and SESSION_SOURCE.get() is None:
                await api.start()
        if self._ipc_command is not None:
            for remote in setting.ipc_command_subscribers:
                await self._ipc_command.connect_to_process(remote)
        for running, name in (
            *self._delivery.jobs(),
            *((runner.start(), type(runner).__name__) for runner in self._sources()),
        ):
            self._spawn(self._run_or_fail(running), name)
        for timer in self._timers:
            self._timer_tasks.append(self._spawn(self._run_timer(timer), f"task_{timer.name}"))

    def _addresses(self) -> set[tuple[Exchange, Channel]]:
        """What this service publishes."""
        return wiring.published(self.config.setting)

    async def _release(self) -> None:
        for part in self._sources():
            await self._quietly(part.stop)
        self._calls.close()
        await self._background.cancel_all()
        self._calls.end()
        for name, api in self._apis.items():
            await self._quietly(api.stop if name.endswith("_ws_api") else api.close)
        if self._ipc_command is not None:
            await self._quietly(self._stop_commands)
        await self._quietly(self.ipc_publisher.close)

    async def _stop_commands(self) -> None:
        self.ipc_command.stop()
        ending = self.ipc_command.ending
        await self._background.cancel(ending, asked=ending)

    def _sources(self) -> list[StreamBase | IPCSubscriber]:
        return [*self.subscribers, *self.streams]

    async def _quietly(self, stop: Callable[[], Any]) -> None:
        try:
            stopping = stop()
            if inspect.isawaitable(stopping):
                await stopping
        except Exception:
            self._count_error()
            log.exception("%s: a part did not stop cleanly", self.process_id)

    def _count_error(self) -> None:
        self.counters["errors"] += 1

    async def _run_or_fail(self, running: Awaitable[Any]) -> None:
        try:
            await running
        except Exception as error:  # noqa: BLE001 - a stream that gave up ends the service, with its error
            log.error("%s: %s", self.process_id, error)
            self._end_by(error)

    def _end_by(self, error: Exception) -> None:
        self._failure = self._failure or error
        self._stop_requested.set()

    async def _guard(self, name: str, hook: Callable[..., Any], *args: Any) -> None:
        try:
            result = hook(*args)
            if inspect.isawaitable(result):
                await result
        except Exception:  # noqa: BLE001 - a hook that raises is reported and counted, the service goes on
            self._hook_failed(name or hook.__name__.replace("_deliver", "on"))
        except asyncio.CancelledError:
            # Ours to obey; or of something that the hook awaited, which must not end the delivery of all that follows.
            task = asyncio.current_task()
            if task is None or task.cancelling() or self._interrupts.was_ended(task):
                raise
            self._hook_failed(name or hook.__name__.replace("_deliver", "on"))
        finally:
            self._interrupts.end_call()

    def _hook_failed(self, name: str) -> None:
        error = sys.exception()
        if isinstance(error, Interrupted | TradingRefused):  # it ended as it was told to
            self._limited.log(logging.WARNING, name, "%s: %s: %s", self.process_id, name, error)
            return
        self._count_error()
        self._limited.log(logging.ERROR, name, "%s: %s failed", self.process_id, name, exc_info=True)

    async def _run_timer(self, timer: Timer) -> None:
        async for overruns in timer.ticks():
            self.counters["task_overruns"] += overruns
            with timer.running():
                await self._guard(f"task_{timer.name}", timer.function)

    async def _write_status(self, status: StatusFile) -> None:
        while True:
            self._last_status = self._status_or_less()
            await self._guard("status", lambda: asyncio.to_thread(status.write, status.encode(self._last_status)))
            await asyncio.sleep(INTERVAL_S)

    def _tell_stall(self) -> None:
        # From the watchdog's thread: the loop, which tells the status otherwise, stands.
        if self._status is not None and self._last_status:
            told = {"state": "stalled", "loop": self._watchdog.status()}
            self._status.write(self._status.encode(self._last_status | told))

    def _status_or_less(self) -> dict[str, Any]:
        try:
            return self.status()
        except Exception:  # noqa: BLE001 - a status that cannot be told is reported, and must stop nothing
            self._hook_failed("status")
            return ServiceBase.status(self)


__all__ = ["QUEUE_CAPACITY", "RING_CAPACITY", "ServiceBase", "SetupAborted"]
