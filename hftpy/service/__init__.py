"""What a user subclasses and configures, and the ready gateway."""

from hftpy.service.base import ServiceBase, SetupAborted
from hftpy.service.config import ServiceConfig, Setting, load_config, parse_section
from hftpy.service.gateway import GatewayService
from hftpy.service.interrupts import Left
from hftpy.service.loader import load_service, run_service
from hftpy.service.ordering import OrderHandle

__all__ = [
    "GatewayService",
    "Left",
    "OrderHandle",
    "ServiceBase",
    "ServiceConfig",
    "Setting",
    "SetupAborted",
    "load_config",
    "load_service",
    "parse_section",
    "run_service",
]
