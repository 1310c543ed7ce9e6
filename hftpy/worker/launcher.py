"""Starts, watches and stops child processes.

A child is spawned, never forked: nothing of this process's sockets or threads goes along. It gets a lifeline, a pipe
that closes when this process ends however it ends, upon which a service stops by itself. Children have a session of
their own, so that Ctrl-C in the terminal reaches this process alone.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from hftpy.common.lifeline import LIFELINE_ENV

log = logging.getLogger(__name__)

STOP_TIMEOUT_S = 10.0


class ChildProcess:
    """A process that was started here.

    Attributes
    ----------
    name : str
        What reports call it.
    pid : int
        Its process id.
    returncode : int or None
        None while it runs; the negative signal number if one ended it.
    asked_to_stop : bool
        Whether we asked it to end.
    """

    def __init__(self, name: str, process: asyncio.subprocess.Process, lifeline: int) -> None:
        self.name = name
        self.process = process
        self.asked_to_stop = False
        self._lifeline = lifeline

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def returncode(self) -> int | None:
        return self.process.returncode

    @property
    def ending(self) -> str:
        """How it ended, in words."""
        code = self.returncode
        if code is None:
            return "runs"
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        return f"exited with status {code}"

    def release(self) -> None:
        """Close our end of the lifeline."""
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1


class Launcher:
    """A group of child processes.

    Parameters
    ----------
    on_exit
        Called on the loop with a child that ended, whether asked to or not.
    """

    def __init__(self, on_exit: Callable[[ChildProcess], None] | None = None) -> None:
        self.children: dict[str, ChildProcess] = {}
        self._on_exit = on_exit
        self._watchers: set[asyncio.Task[None]] = set()

    async def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        output: IO[bytes] | None = None,
        stdout: int | IO[bytes] | None = None,
        environment: dict[str, str] | None = None,
    ) -> ChildProcess:
        """Start ``python -m …``.

        Parameters
        ----------
        name
            For reports; one running child per name.
        command
            What follows ``python -m``.
        output
            A file for standard error (and output, unless `stdout` is given); None: ours.
        stdout
            As for `subprocess.Popen`.
        environment
            Variables beyond ours.

        Raises
        ------
        ValueError
            If a child of that name runs.
        """
        running = self.children.get(name)
        if running is not None and running.returncode is None:
            raise ValueError(f"a child named {name!r} runs already (process {running.pid})")
        reading, writing = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=stdout if stdout is not None else output,
                stderr=output,
                pass_fds=(reading,),
                start_new_session=True,
                env={**os.environ, **(environment or {}), LIFELINE_ENV: str(reading)},
            )
        except BaseException:
            os.close(writing)
            raise
        finally:
            os.close(reading)
        child = self.children[name] = ChildProcess(name, process, writing)
        watcher = asyncio.get_running_loop().create_task(self._watch(child), name=f"watch {name}")
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watchers.discard)
        return child

    async def start_service(
        self, config: Path, section: str, name: str, output: IO[bytes] | None = None
    ) -> ChildProcess:
        """Start one section of a config in a process of its own."""
        return await self.start(name, ["hftpy.worker", str(config), section], output=output)

    async def stop(self, name: str, timeout: float = STOP_TIMEOUT_S) -> ChildProcess:
        """End a child: SIGTERM, and SIGKILL after `timeout` seconds."""
        child = self.children[name]
        child.asked_to_stop = True
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.process.terminate()
        await self.wait(name, timeout)
        return child

    async def wait(self, name: str, timeout: float) -> ChildProcess:
        """Wait for a child that was asked to end; SIGKILL after `timeout` seconds."""
        child = self.children[name]
        child.asked_to_stop = True
        try:
            await asyncio.wait_for(child.process.wait(), timeout)
        except TimeoutError:
            log.error("%s (process %d) did not end within %.0f s: killed", name, child.pid, timeout)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            await child.process.wait()
        return child

    async def stop_all(self, timeout: float = STOP_TIMEOUT_S) -> None:
        """End all children, side by side."""
        await asyncio.gather(*(self.stop(name, timeout) for name in list(self.children)))
        await asyncio.gather(*self._watchers)

    async def _watch(self, child: ChildProcess) -> None:
        await child.process.wait()
        child.release()
        if self._on_exit is not None:
            try:
                self._on_exit(child)
            except Exception:  # a failing report must not keep the other children from being stopped
                log.exception("on_exit failed for %s (%s)", child.name, child.ending)
