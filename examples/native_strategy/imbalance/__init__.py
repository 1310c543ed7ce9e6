"""Trades with the order flow: the strategy in Cython, the service around it in Python."""

from imbalance.strategy import Imbalance

__all__ = ["Imbalance"]
