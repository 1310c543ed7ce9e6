"""The simulated venue, on loopback: real protocols, real sockets, a market made here."""

from hftpy.sim.faults import Fault
from hftpy.sim.keys import SIM_API_KEY, SIM_API_SECRET
from hftpy.sim.market import Instrument, Market, SyntheticMarket
from hftpy.sim.replay import ReplayMarket
from hftpy.sim.venue import SimVenue

__all__ = [
    "SIM_API_KEY",
    "SIM_API_SECRET",
    "Fault",
    "Instrument",
    "Market",
    "ReplayMarket",
    "SimVenue",
    "SyntheticMarket",
]
