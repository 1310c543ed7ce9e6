"""hftpy: a low-latency trading runtime for Python.

Start with `hftpy.service.ServiceBase`; `hftpy.exchange`, `hftpy.ipc` and `hftpy.common` are usable by themselves.
"""

__version__ = "0.1.0"
