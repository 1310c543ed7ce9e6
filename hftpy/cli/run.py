"""``hftpy run``: every section of a config in a process of its own."""

import asyncio
import signal
import sys
from pathlib import Path

from hftpy.service import load_config
from hftpy.worker import ChildProcess, Launcher


async def run_services(path: Path) -> int:
    """Start all services of a config and wait for their end; Ctrl-C or SIGTERM ends strategies, then gateways.

    Returns
    -------
    int
        0 if all ended well, else 1.

    Raises
    ------
    ConfigError
        If the config cannot be used.
    """
    configs = load_config(path)
    ended = asyncio.Event()
    failures: list[str] = []

    def on_exit(child: ChildProcess) -> None:
        if child.returncode != 0:
            failures.append(child.name)
            print(f"hftpy: {child.name} (process {child.pid}) {child.ending}", file=sys.stderr)
        if all(other.returncode is not None for other in launcher.children.values()):
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
    return 1 if failures else 0
