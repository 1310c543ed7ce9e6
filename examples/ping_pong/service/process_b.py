"""Answers every ping with a pong that carries the ping's payload."""

from hftpy.ipc import IPCCommand
from hftpy.service import ServiceBase


class ProcessBService(ServiceBase):
    def on_setup(self) -> bool:
        self.ipc_command.register_handler("ping", self.on_ping)
        return True

    async def on_ping(self, command: IPCCommand) -> None:
        await self.ipc_command.send_command(command.sender_id, "pong", command.payload)
