"""``hftpy run``: every section of a config in a process of its own."""

import asyncio
import signal
import sys
from pathlib import Path

from hftpy.common import get_root
from hftpy.service import load_config
from hftpy.worker import ChildProcess, Launcher

NOT_STARTED = 2


async def run_services(path: Path) -> int:
    """Start all services of a config and wait for their end; Ctrl-C or SIGTERM ends strategies, then gateways. One
    that cannot be started ends all.

    Returns
    -------
    int
        0 if all ended well, 2 if one could not be started, else 1.

    Raises
    ------
    ConfigError
        If the config cannot be used.
    RootError
        If the root cannot be used.
    """
    configs = load_config(path)
    get_root()
    ended = asyncio.Event()
    failures: list[int | None] = []

    def on_exit(child: ChildProcess) -> None:
        # One that was asked to end before it could listen to that is ended by the signal itself.
        if child.returncode != 0 and not (child.asked_to_stop and child.returncode == -signal.SIGTERM):
            failures.append(child.returncode)
            print(f"hftpy: {child.name} (process {child.pid}) {child.ending}", file=sys.stderr)
        if child.returncode == NOT_STARTED or all(other.returncode is not None for other in launcher.children.values()):
            ended.set()

    launcher = Launcher(on_exit)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    try:
        for config in configs:
            await launcher.start_service(path, config.section, config.process_id)
        await ended.wait()
    finally:
        gateways = [name for name in launcher.children if name.endswith("_gateway")]
        strategies = [name for name in launcher.children if name not in gateways]
        await asyncio.gather(*(launcher.stop(name) for name in strategies))
        await asyncio.gather(*(launcher.stop(name) for name in gateways))
        await launcher.stop_all()
    return NOT_STARTED if NOT_STARTED in failures else 1 if failures else 0
