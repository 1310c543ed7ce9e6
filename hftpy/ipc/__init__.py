"""Between processes of one host: market data by publish and subscribe, and commands."""

from hftpy.ipc.publisher import IPCPublisher
from hftpy.ipc.subscriber import IPCSubscriber

__all__ = ["IPCPublisher", "IPCSubscriber"]
