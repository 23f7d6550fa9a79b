"""Prices: what pieces of a Program cost on an engine of a machine, known before anything is built.

- `KernelTable` keeps what was measured, a figure for each piece and `Place`.
"""

from fxopt.prices.place import Place
from fxopt.prices.table import KernelTable, Observation, Price

__all__ = ["KernelTable", "Observation", "Place", "Price"]
