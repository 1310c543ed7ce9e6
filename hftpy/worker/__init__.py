"""Processes: started by spawn, watched, stopped."""

from hftpy.worker.launcher import ChildProcess, Launcher

__all__ = ["ChildProcess", "Launcher"]
