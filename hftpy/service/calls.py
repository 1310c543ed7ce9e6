"""`run_once`: calls that any thread hands to a service's loop, whose results and errors are not lost."""

import asyncio
import concurrent.futures
import contextlib
import inspect
import threading
from collections.abc import Callable, Coroutine, Generator
from typing import Any

MAX_OPEN = 65_536  # calls that have not ended


class OneCall(concurrent.futures.Future[Any]):
    """A call on the service's loop. Other threads ask for `result(timeout)` or `exception(timeout)`; coroutines of the
    loop await it; who wants nothing of it may drop it.
    """

    def __init__(self, name: str, loop_thread: int) -> None:
        super().__init__()
        self.name = name
        self._loop_thread = loop_thread

    def __await__(self) -> Generator[Any, None, Any]:
        return asyncio.wrap_future(self).__await__()

    def result(self, timeout: float | None = None) -> Any:
        """What it returned.

        Raises
        ------
        RuntimeError
            If the service stopped before it had ended; or, on the loop's own thread, if it has not ended: await it.
        Exception
            What it raised.
        """
        self._check_thread()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What it raised, or None; raises as `result`."""
        self._check_thread()
        return super().exception(timeout)

    def _check_thread(self) -> None:
        if not self.done() and threading.get_ident() == self._loop_thread:
            raise RuntimeError(f"the service's own loop cannot wait for {self.name}: await it")


class Calls:
    """The calls that a service was handed and has not ended.

    Parameters
    ----------
    name
        The service's.
    spawn
        Runs a coroutine in a task.
    failed
        Called with a call's name while its exception is handled.

    Thread safety: `submit` from any thread, the rest on the loop.
    """

    def __init__(
        self, name: str, spawn: Callable[[Coroutine[Any, Any, Any], str], Any], failed: Callable[[str], None]
    ) -> None:
        self._name = name
        self._spawn = spawn
        self._failed = failed
        self._lock = threading.Lock()
        self._open: set[OneCall] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0

    def start(self) -> None:
        """Take calls for the loop that runs."""
        with self._lock:
            self._loop = asyncio.get_running_loop()
            self._thread = threading.get_ident()

    def submit(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> OneCall:
        """Hand over a call; see `ServiceBase.run_once`."""
        with self._lock:
            if self._loop is None:
                raise RuntimeError("run_once needs a service that is started, and has not stopped")
            if len(self._open) >= MAX_OPEN:
                raise RuntimeError(f"run_once has {MAX_OPEN} calls that have not ended: the loop does not keep up")
            call = OneCall(getattr(function, "__name__", "run_once"), self._thread)
            self._loop.call_soon_threadsafe(self._begin, call, function, args, kwargs)
            self._open.add(call)
        return call

    def close(self) -> None:
        """Take no more, and begin none that was not begun."""
        with self._lock:
            self._loop = None

    def end(self) -> None:
        """After `close`: those that have not ended are told so."""
        with self._lock:
            left, self._open = self._open, set()
        for call in left:
            self._resolve(call, error=RuntimeError(f"{self._name} stopped before {call.name} had ended"))

    def _begin(
        self, call: OneCall, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        if self._loop is None:  # closed: `end` tells the caller
            return
        if call.done() or not call.set_running_or_notify_cancel():  # its caller has cancelled it
            self._forget(call)
            return
        self._spawn(self._run(call, function, args, kwargs), "run_once")

    async def _run(
        self, call: OneCall, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        try:
            result = function(*args, **kwargs)
            if inspect.isawaitable(result):
                result = await result
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise  # the service stops; `end` tells the caller
            self._failed(call.name)
            self._resolve(call, error=error)
        except Exception as error:  # noqa: BLE001 - the caller is told, and who has dropped the call finds it in the log
            self._failed(call.name)
            self._resolve(call, error=error)
        else:
            self._resolve(call, result)

    def _resolve(self, call: OneCall, result: Any = None, error: BaseException | None = None) -> None:
        self._forget(call)
        with contextlib.suppress(concurrent.futures.InvalidStateError):  # cancelled meanwhile
            if error is not None:
                call.set_exception(error)
            else:
                call.set_result(result)

    def _forget(self, call: OneCall) -> None:
        with self._lock:
            self._open.discard(call)
