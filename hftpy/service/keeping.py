"""What a service is given and keeps: typed parameters that change while it runs, saved state, and its warm-up."""

import asyncio
import contextlib
import inspect
import logging
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from hftpy.common.secrets import redacted
from hftpy.errors import ConfigError, StateError, TradingRefused
from hftpy.ipc import IPCCommand, IPCCommandSystem
from hftpy.service.config import ServiceConfig
from hftpy.service.control import ServiceControl
from hftpy.service.hooks import ServiceHooks
from hftpy.service.params import merge_params, read_params, told_params
from hftpy.service.saved_state import StateFile

log = logging.getLogger(__name__)

SAVE_EARLY_S = 1.0  # a service that takes longer to end saves its state before that too
SAVE_LIMIT_S = 5.0  # the last time, it may take so long
WARM_LOOK_S = 0.05  # between two looks at the counters, while the service is cold


class _Turn:
    """One after the other, but never behind oneself."""

    def __init__(self, name: str, hook: str) -> None:
        self._name = name
        self._hook = hook
        self._lock = asyncio.Lock()
        self._task: asyncio.Task[Any] | None = None

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        if task is not None and task is self._task:
            raise RuntimeError(f"{self._name} cannot be called from {self._hook}: it would wait for its own end")
        await self._lock.acquire()
        self._task = task

    async def __aexit__(self, *_: object) -> None:
        self._task = None
        self._lock.release()


class ServiceKeeping(ServiceControl):
    """The part of a service that has parameters, state and a warm-up.

    Parameters
    ----------
    config
        The service's section of the config.

    Raises
    ------
    ConfigError
        If its `params` are not as `params_type` says.
    """

    params_type: type[msgspec.Struct] | None = None
    """What `params` must be; None: a dict of anything. A default in it makes a key optional."""

    state_type: Any = None
    """What `on_load` gets, such as a msgspec Struct; None: JSON types."""

    state_version = 1
    """Of what `on_save` returns; `on_migrate` gets what an earlier version has saved."""

    def __init__(self, config: ServiceConfig) -> None:
        super().__init__(config)
        setting = config.setting
        self._params_key = f"{config.section}.setting.params"
        self.params: Any = read_params(self._params_key, setting.params, self.params_type)
        self._changing_params = _Turn("update_params", "on_params")
        self._params_updates = self._params_refused = 0
        folder = None if setting.state.folder is None else config.folder.resolve() / Path(setting.state.folder)
        self._state_file = StateFile(self.process_id, config.class_name, folder)
        self._saving = _Turn("save_state", "on_save")
        self._state_saves = self._state_failures = 0
        self._state_saved_ns = 0
        self._saves = False
        self._warm = False
        self._running_since_s = 0.0

    # Parameters

    async def update_params(self, changes: Mapping[str, Any]) -> Any:
        """Change some of the parameters, all of the changes or none; also the command ``update_params``.

        `params` is replaced by a new object and `on_params(old, new)` called. If that raises or returns False, the old
        ones are put back.

        Returns
        -------
        object
            The new parameters.

        Raises
        ------
        ConfigError
            If a key is not known, or a value is not as it must be, or `on_params` returned False.
        RuntimeError
            If `on_params` itself calls it: it would wait for its own end.
        Exception
            What `on_params` raised.
        """
        async with self._changing_params:
            old = self.params
            try:
                if not isinstance(changes, Mapping):
                    raise ConfigError(f"{self._params_key}: changes must be an object, was {redacted(changes)!r}")
                new = merge_params(self._params_key, old, changes, self.params_type)
                self.params = new
                result = self.on_params(old, new)
                if inspect.isawaitable(result):
                    result = await result
                if result is False:
                    raise ConfigError(f"{self.process_id}: on_params refused {redacted(changes)!r}")
            except BaseException:
                self.params = old
                self._params_refused += 1
                raise
            self._params_updates += 1
        log.info("%s: params are now %s", self.process_id, told_params(new))
        return new

    # State

    async def save_state(self) -> bool:
        """Save what `on_save` returns now; also the command ``save_state``.

        Returns
        -------
        bool
            Whether the file was written: not if the state is None, or what the file holds already.

        Raises
        ------
        StateError
            If the state cannot be written as JSON, or the file cannot be written.
        RuntimeError
            If `on_save` itself calls it.
        Exception
            What `on_save` raised.
        """
        async with self._saving:
            try:
                state = self.on_save()
                if inspect.isawaitable(state):
                    state = await state
                if state is None:
                    return False
                # Encoded on the loop, so that no hook changes it meanwhile; written and synced beside it.
                encoded = self._state_file.encode(state)
                written = await asyncio.to_thread(self._state_file.write, encoded, self.state_version)
            except Exception:
                self._state_failures += 1
                raise
            self._state_saves += written
            self._state_saved_ns = time.time_ns()
            return written

    async def _load_state(self) -> None:
        """Give `on_load` what was saved. A damaged file raises StateError, unless the config says to discard it."""
        self._saves = "on_save" in vars(self) or type(self).on_save is not ServiceHooks.on_save
        if not self._saves:
            return
        try:
            found = await asyncio.to_thread(self._state_file.read)
            if found is None:
                return
            state = await self._converted(*found)
        except StateError as error:
            if self.config.setting.state.on_corrupt != "discard":
                raise
            aside = self._state_file.discard()
            log.error("%s: %s; begins without, the file is now %s", self.process_id, error, aside)
            return
        result = self.on_load(state)
        if inspect.isawaitable(result):
            await result

    async def _converted(self, state: Any, version: int) -> Any:
        if version != self.state_version:
            state = self.on_migrate(state, version)
            if inspect.isawaitable(state):
                state = await state
        if self.state_type is None:
            return state
        try:
            return msgspec.convert(state, self.state_type)
        except msgspec.ValidationError as error:
            raise StateError(f"the state {self._state_file.path} is no {self.state_type}: {error}") from error

    async def _save_often(self) -> None:
        interval_s = self.config.setting.state.interval
        while interval_s:
            await asyncio.sleep(interval_s)
            await self._guard("on_save", self.save_state)

    # Warm-up

    @property
    def warm(self) -> bool:
        """Whether the warm-up is over: `on_warm` was called, and orders are sent."""
        return self._warm

    async def _warm_up(self) -> None:
        await asyncio.sleep(max(0.0, self._running_since_s + self.config.setting.warm_up.seconds - time.monotonic()))
        while self._cold_events():  # noqa: ASYNC110 - the counters are a ring's own, and wake nobody
            await asyncio.sleep(WARM_LOOK_S)
        self._warm = True
        log.info("%s: warm", self.process_id)
        await self._guard("on_warm", self.on_warm)

    def _cold_events(self) -> dict[str, int]:
        """How many events of which channels are wanting yet."""
        wanting = {
            channel: count - self.counters[f"{channel}s"]
            for channel, count in self.config.setting.warm_up.events.items()
        }
        return {channel: count for channel, count in wanting.items() if count > 0}

    def _check_trading(self) -> None:
        super()._check_trading()
        if not self._warm:
            missing = ", ".join(f"{count} of {channel}" for channel, count in self._cold_events().items())
            raise TradingRefused(
                f"{self.process_id} is warming up{f', wants {missing}' if missing else ''}: place_order is refused"
            )

    # The framework's part

    def _begin_keeping(self) -> None:
        self._running_since_s = time.monotonic()
        warm_up = self.config.setting.warm_up
        if self._saves:
            self._spawn(self._save_often(), "state")
        if warm_up.seconds or warm_up.events:
            self._spawn(self._warm_up(), "warm_up")
        else:
            self._warm = True

    def _begin_rounds(self) -> None:
        warm_up = self.config.setting.warm_up
        if not (warm_up.seconds or warm_up.events):
            self._spawn(self._guard("on_warm", self.on_warm), "on_warm")
        super()._begin_rounds()

    @contextlib.asynccontextmanager
    async def _saved_at_the_end(self) -> AsyncIterator[None]:
        """Save the state once the body, in which hooks and handlers end, is over. If that takes long, also before: who
        waits for this process may kill it by then."""
        if not (self._saves and self.has_run):
            yield
            return
        ended = asyncio.Event()
        early = asyncio.create_task(self._save_early(ended), name=f"{self.process_id}:on_save")
        try:
            yield
        finally:
            ended.set()
            try:
                async with asyncio.timeout(SAVE_LIMIT_S):
                    if await early:
                        await self._guard("on_save", self.save_state)
            except TimeoutError:
                self._state_failures += 1
                self._hook_failed("on_save")

    async def _save_early(self, ended: asyncio.Event) -> bool:
        """Save the state if `ended` is not set in time; returns whether it can be saved, as far as is known."""
        try:
            await asyncio.wait_for(ended.wait(), SAVE_EARLY_S)
        except TimeoutError:
            failures = self._state_failures
            await self._guard("on_save", self.save_state)
            return self._state_failures == failures
        return True

    def _register_control(self, commands: IPCCommandSystem) -> None:
        super()._register_control(commands)

        async def update_params(command: IPCCommand) -> dict[str, Any]:
            return {"params": told_params(await self.update_params(command.payload))}

        async def save_state(command: IPCCommand) -> dict[str, Any]:
            return {"saved": await self.save_state(), "path": str(self._state_file.path)}

        for handler in (update_params, save_state):
            commands.register_handler(handler.__name__, handler, lane=handler.__name__)

    def _keeping_status(self) -> dict[str, Any]:
        return {
            "warm": self._warm,
            "params": told_params(self.params),
            "params_updates": self._params_updates,
            "params_refused": self._params_refused,
            "saved_state": self._state_status(),
        }

    def _state_status(self) -> dict[str, Any] | None:
        if not self._saves:
            return None
        return {
            "path": str(self._state_file.path),
            "saves": self._state_saves,
            "failures": self._state_failures,
            "saved_ns": self._state_saved_ns,
        }
