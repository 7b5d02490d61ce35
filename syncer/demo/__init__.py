"""A provider in a box: a sample catalog that lives through two weeks, and a loopback server that serves it."""

from syncer.demo.catalog import DAYS, PRICE_UNITS, Day
from syncer.demo.server import DemoServer

__all__ = ["DAYS", "PRICE_UNITS", "Day", "DemoServer"]
