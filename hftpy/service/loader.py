"""From a section of the config to a running service."""

import asyncio
import contextlib
import importlib
import logging
import os
import signal
import sys
from typing import Any

from hftpy.common.lifeline import watch_lifeline
from hftpy.common.loops import new_event_loop
from hftpy.errors import AddressInUseError, ConfigError, HftError, RootError
from hftpy.service.base import ServiceBase, SetupAborted
from hftpy.service.config import ServiceConfig, suggestion

log = logging.getLogger(__name__)

Task = asyncio.Task[Any]


def load_service(config: ServiceConfig) -> ServiceBase:
    """Import the service's module and make the service.

    The section's name is the module, found from the config's folder; a class name ``package.module:Class`` names
    both.

    Raises
    ------
    ConfigError
        If the module or class is missing, or the class is no ServiceBase.
    """
    module_name, _, class_name = config.class_name.rpartition(":")
    module_name = module_name or config.section
    folder = str(config.folder.resolve())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name == error.name or module_name.startswith(error.name + ".")):
            raise
        raise ConfigError(
            f"{config.section}: no module {module_name!r} in {folder} or among the installed ones"
        ) from error
    kind = getattr(module, class_name, None)
    if not (isinstance(kind, type) and issubclass(kind, ServiceBase)):
        kinds = (
            name for name, found in vars(module).items()
            if isinstance(found, type) and issubclass(found, ServiceBase) and found is not ServiceBase
        )  # fmt: skip
        raise ConfigError(
            f"{config.section}: {module_name} has no subclass of ServiceBase named {class_name!r}: "
            f"{suggestion(class_name, kinds)}"
        )
    return kind(config)


def run_service(config: ServiceConfig) -> int:
    """Run one service in this process until it is asked to stop (command ``shutdown``, SIGINT, SIGTERM, or the end of
    the process that started it).

    Returns
    -------
    int
        Exit status: 0 stopped, 1 failed (or a task did not end when it was cancelled), 2 not started (its set-up
        aborted, its config cannot be used, or an address or the root is not to be had).

    Raises
    ------
    SystemExit
        If a hook or a handler called `sys.exit`: after the service has stopped, in order.
    """
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            _run_to_the_end(runner, config)
    except (SetupAborted, ConfigError) as error:
        log.error("%s", error, exc_info=error.__cause__ if isinstance(error, SetupAborted) else None)
        return 2
    except (AddressInUseError, RootError) as error:
        log.error("%s: %s", config.process_id, error)
        return 2
    except HftError as error:
        log.error("%s: %s", config.process_id, error)
        return 1
    except KeyboardInterrupt:  # while the service's module was imported; later ones are requests to stop
        return 2
    return 0


def _run_to_the_end(runner: asyncio.Runner, config: ServiceConfig) -> None:
    running: list[tuple[ServiceBase, Task]] = []
    try:
        runner.run(_serve(config, running))
    except (SystemExit, KeyboardInterrupt):
        # Raised in any task, it leaves the loop at once. The loop goes on, so that the service can stop in order.
        for service, task in running:
            while not task.done():
                with contextlib.suppress(SystemExit, KeyboardInterrupt):
                    runner.run(_stop(service, task))
            if not task.cancelled():
                task.exception()  # it ends with what is raised here, or has told its failure
        raise


async def _stop(service: ServiceBase, task: Task) -> None:
    service.request_stop()
    await asyncio.wait({task})


async def _serve(config: ServiceConfig, running: list[tuple[ServiceBase, Task]]) -> None:
    service: ServiceBase | None = None
    try:
        service = load_service(config)
        task = asyncio.current_task()
        assert task is not None
        running.append((service, task))
        await _run(service)
    except (HftError, SetupAborted):
        raise
    except Exception as error:
        if service is not None and service.has_run:
            raise
        raise SetupAborted(f"{config.section} cannot be started: {error!r}") from error


async def _run(service: ServiceBase) -> None:
    loop = asyncio.get_running_loop()
    # A handler of our own: under asyncio.run, Ctrl-C would cancel the main task wherever the user's code happens to be.
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, service.request_stop)
    watch_lifeline(service.request_stop)
    try:
        await service.run()
    finally:
        if stuck := service.stuck_tasks:
            _leave(service.process_id, stuck)


def _leave(process_id: str, stuck: list[str]) -> None:
    """End a process whose loop would wait for ever for tasks that swallow their cancellation."""
    log.critical("%s: ends without waiting for %s", process_id, ", ".join(stuck))
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)
