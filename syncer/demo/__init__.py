"""A provider in a box: a sample catalog that lives through two weeks, and a loopback server that serves it."""

from syncer.demo.catalog import PRICE_UNITS, STEPS, Step
from syncer.demo.server import DemoServer

__all__ = ["PRICE_UNITS", "STEPS", "DemoServer", "Step"]
