"""The programs of the command system's specification, as they stand there (imports added where it leaves them out)."""

import asyncio
import json
import signal
import time

import pytest
import zmq

from hftpy.ipc import IPCCommand, IPCCommandSystem

STRATEGY = """
import asyncio
from hftpy.ipc import IPCCommandSystem, IPCCommand


class StrategyService:

    def __init__(self):
        self.command_system = IPCCommandSystem("strategy_01")

    async def start(self):
        # what to do with which command
        self.command_system.register_handler("start_trading", self.handle_start_trading)
        self.command_system.register_handler("stop_trading", self.handle_stop_trading)

        # whose commands to hear
        await self.command_system.connect_to_process("gateway")

        # from here on
        await self.command_system.start()

    async def stop(self):
        await self.command_system.stop()

    # a callback
    def handle_start_trading(self, command: IPCCommand):
        print(f"told to start: {command.payload}")

    # a callback
    def handle_stop_trading(self, command: IPCCommand):
        print(f"told to stop: {command.payload}")


async def main():
    service = StrategyService()
    await service.start()

    # stay, and wait for commands
    try:
        while True:
            await asyncio.sleep(1)
    except KeyboardInterrupt:
        await service.stop()


if __name__ == "__main__":
    asyncio.run(main())
"""

PUBLISHER = """
import asyncio
from hftpy.ipc import IPCCommandSystem


async def main():
    # the command system of this process
    system = IPCCommandSystem("gateway")
    await system.start()

    # to one process
    await system.send_command(
        target_id="strategy_01",
        command_type="start_trading",
        payload={"symbol": "btc/usdt"}
    )

    # to everybody who listens
    await system.broadcast(
        command_type="BROADCAST",
        payload={"reason": "maintenance"}
    )

    await system.stop()


asyncio.run(main())
"""


def publisher(*, awaited: bool, broadcast: str = "shutdown") -> str:
    text = PUBLISHER.replace("BROADCAST", broadcast)
    return text if awaited else text.replace("await system.", "system.")


@pytest.mark.parametrize("awaited", [True, False])
async def test_the_service_program_obeys_the_publisher_program(start, tmp_path, left_behind, awaited):
    (tmp_path / "strategy.py").write_text(STRATEGY)
    (tmp_path / "publisher.py").write_text(publisher(awaited=awaited, broadcast="stop_trading"))
    strategy = await start("strategy.py")
    while not left_behind():
        await asyncio.sleep(0.02)
    gateway = await start("publisher.py")
    assert await gateway.end(None) == 0, gateway.text
    await strategy.says("told to start: {'symbol': 'btc/usdt'}", "told to stop: {'reason': 'maintenance'}")
    text = strategy.text
    assert text.index("told to start") < text.index("told to stop")
    assert (text.count("told to start"), text.count("told to stop")) == (1, 1)
    await strategy.end()
    assert left_behind() == []


async def test_publisher_first_and_the_service_program_two_seconds_later(start, tmp_path, root):
    (tmp_path / "strategy.py").write_text("import time; time.sleep(2)\n" + STRATEGY)
    strategy = await start("strategy.py")
    gateway = IPCCommandSystem("gateway")
    gateway.start()
    gateway.send_command("strategy_01", "start_trading", {"symbol": "btc/usdt"})
    await strategy.says("told to start: {'symbol': 'btc/usdt'}")
    await gateway.stop()
    await strategy.end()
