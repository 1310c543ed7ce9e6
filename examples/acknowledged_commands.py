"""Commands that are known to arrive: results, rejections, a schema, lanes, and what happens when nobody is there.

Run: python examples/acknowledged_commands.py
"""

import asyncio
import tempfile

import msgspec

from hftpy.ipc import CommandState, IPCCommand, IPCCommandSystem, Rejection


class Limit(msgspec.Struct):
    """What the payload of `set_limit` must be."""

    symbol: str
    notional: float


def on_limit(limit: Limit, command: IPCCommand) -> str:
    return f"{limit.symbol} {limit.notional:g}, asked by {command.sender_id}"


async def rebalance(command: IPCCommand) -> str:
    await asyncio.sleep(1.0)
    return "rebalanced"


async def main() -> None:
    with tempfile.TemporaryDirectory() as root:
        gateway, desk = IPCCommandSystem("gateway", root), IPCCommandSystem("desk", root)
        gateway.connect_to_process("desk")
        gateway.register_handler("set_limit", on_limit, senders=["desk"])
        gateway.register_handler("rebalance", rebalance)
        gateway.register_handler("cancel_all", lambda command: 3)
        await desk.start()

        result = await desk.call("gateway", "set_limit", {}, fail_fast=True)
        print(f"before it runs: {result.state}, {result.reason}")

        await gateway.start()
        assert await desk.ready("gateway", timeout=10)
        result = await desk.call("gateway", "set_limit", {"symbol": "btc/usdt", "notional": 1e6})
        print(f"limit: {result.value}")
        result = await desk.call("gateway", "set_limit", {"symbol": "btc/usdt"})
        assert (result.state, result.reason) == (CommandState.REJECTED, Rejection.BAD_PAYLOAD)
        print(f"rejected: {result.error}")

        slow = desk.send_command("gateway", "rebalance")
        await desk.wait(slow, until="recv")
        result = await desk.call("gateway", "cancel_all")  # does not wait behind it
        print(f"canceled {result.value} while the other is {desk.status(slow).state}")
        print((await desk.wait(slow)).value)

        await desk.stop()
        await gateway.stop()


asyncio.run(main())
