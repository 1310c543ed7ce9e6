"""A strategy that rebalances every 15 minutes and obeys at once: to rebalance now, to pause, to stop.

An operator sends the commands, as `hftpy send` or another process would.
Run: python examples/interruptible_service.py
"""

import asyncio
import tempfile
from pathlib import Path

from hftpy.common import set_root
from hftpy.errors import Interrupted
from hftpy.ipc import IPCCommand, IPCCommandSystem
from hftpy.service import ServiceBase, parse_section

SETTING = {"ipc_command_publisher": "rebalancer", "ipc_command_subscribers": ["operator"]}


class Rebalancer(ServiceBase):
    """One round: fetch, trade, sleep."""

    def on_setup(self) -> bool:
        self.weight = 0.5
        self.fetches = 0
        self.register_interrupt("rebalance", self.on_rebalance)
        self.ipc_command.register_handler("report", self.on_report)  # interrupts nothing
        return True

    def on_rebalance(self, command: IPCCommand) -> None:
        self.weight = command.payload["weight"]

    def on_report(self, command: IPCCommand) -> None:
        print(f"report: weight {self.weight}{', paused' if self.paused else ''}")

    async def next(self) -> None:
        try:
            await self.interruptible(self.fetch())
        except Interrupted as interrupted:
            print(f"fetching was interrupted by {interrupted.command.command_type}")
        with self.uninterruptible():  # both legs, or none
            print(f"trade to weight {self.weight}")
        left = await self.sleep(900)
        print(f"woken by {left.command.command_type if left.command else 'the clock'}, {left > 890}")

    async def fetch(self) -> None:
        self.fetches += 1
        if self.fetches == 2:
            await asyncio.sleep(900)  # a venue that does not answer

    def on_pause(self) -> None:
        print("paused")

    def on_resume(self) -> None:
        print("resumed")

    def on_stop(self) -> None:
        print("stopped")


async def main() -> None:
    with tempfile.TemporaryDirectory() as root:
        set_root(root)
        service = Rebalancer(parse_section("service.rebalancer", {"class_name": "x:Y", "setting": SETTING}, Path()))
        running = asyncio.create_task(service.run())
        operator = IPCCommandSystem("operator")
        await operator.start()

        async def send(command_type: str, **payload: object) -> None:
            operator.send_command("rebalancer", command_type, payload)
            await asyncio.sleep(0.5)  # only so that this program prints in one order

        await operator.ready("rebalancer")
        await asyncio.sleep(0.5)  # until it sleeps in its first round
        await send("report")
        await send("rebalance", weight=0.7)  # ends the sleep; the next round hangs in fetch()
        await send("rebalance", weight=0.2)  # ends that
        await send("pause")
        await send("report")
        await send("resume")
        await send("stop")
        await running
        await operator.stop()
        set_root(None)


if __name__ == "__main__":
    asyncio.run(main())
