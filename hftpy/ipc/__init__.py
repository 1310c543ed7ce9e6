"""Between processes of one host, or of several over tcp: market data by publish and subscribe, and commands."""

from hftpy.ipc.command import CommandId, IPCCommand
from hftpy.ipc.command_state import CommandResult, CommandState, Rejection
from hftpy.ipc.command_system import IPCCommandSystem
from hftpy.ipc.publisher import IPCPublisher
from hftpy.ipc.subscriber import IPCSubscriber
from hftpy.ipc.tcp import TcpEndpoints

__all__ = [
    "CommandId",
    "CommandResult",
    "CommandState",
    "IPCCommand",
    "IPCCommandSystem",
    "IPCPublisher",
    "IPCSubscriber",
    "Rejection",
    "TcpEndpoints",
]
