"""A strategy that a gateway starts and stops by commands: unicast, broadcast, and an answer.

Run: python examples/command_service.py
"""

import asyncio
import tempfile

from hftpy.ipc import IPCCommand, IPCCommandSystem


class Strategy:
    """Takes commands from the gateway, and reports back."""

    def __init__(self, name: str, root: str) -> None:
        self.name = name
        self.done = asyncio.Event()
        self.commands = IPCCommandSystem(name, root)
        self.commands.register_handler("start_trading", self.on_start_trading)
        self.commands.register_handler("shutdown", self.on_shutdown)

    async def start(self) -> None:
        await self.commands.connect_to_process("gateway")
        await self.commands.start()

    async def on_start_trading(self, command: IPCCommand) -> None:
        print(f"{self.name}: start trading {command.payload['symbol']}")
        await self.commands.send_command(command.sender_id, "started", {"symbol": command.payload["symbol"]})

    def on_shutdown(self, command: IPCCommand) -> None:
        print(f"{self.name}: shut down: {command.payload['reason']}")
        self.done.set()


async def main() -> None:
    with tempfile.TemporaryDirectory() as root:
        strategies = [Strategy("strategy_01", root), Strategy("strategy_02", root)]
        started: asyncio.Queue[str] = asyncio.Queue()
        gateway = IPCCommandSystem("gateway", root)
        gateway.register_handler("started", lambda command: started.put_nowait(command.sender_id))
        for strategy in strategies:
            gateway.connect_to_process(strategy.name)
        await gateway.start()
        for strategy in strategies:
            await strategy.start()

        # One process each. Nobody needs to wait for the other: a command waits for its target for 5 seconds.
        for strategy, symbol in zip(strategies, ("btc/usdt", "eth/usdt"), strict=True):
            await gateway.send_command(strategy.name, "start_trading", {"symbol": symbol})
        names = sorted([await started.get(), await started.get()])
        print(f"gateway: {' and '.join(names)} have started")

        # All processes that have joined.
        await gateway.broadcast("shutdown", {"reason": "maintenance"})
        for strategy in strategies:
            await strategy.done.wait()
            await strategy.commands.stop()
        await gateway.stop()


if __name__ == "__main__":
    asyncio.run(main())
