"""Sends a ping twice a second and measures how long the pong takes.

Run both processes: ``hftpy run examples/ping_pong/ping_pong.json``; Ctrl-C ends them.
"""

import logging
import time

from hftpy.ipc import IPCCommand
from hftpy.service import ServiceBase

logger = logging.getLogger(__name__)


class ProcessAService(ServiceBase):
    def on_setup(self) -> bool:
        self.ipc_command.register_handler("pong", self.on_pong)
        return True

    def task_send_ping(self) -> None:
        self.run_once(self.ipc_command.send_command, "process_b", "ping", {"sent_ns": time.monotonic_ns()})

    async def on_pong(self, command: IPCCommand) -> None:
        round_trip_us = (time.monotonic_ns() - command.payload["sent_ns"]) / 1000
        logger.info("pong from %s after %.0f µs", command.sender_id, round_trip_us)
