"""Screens of agents and their runs; importing this package registers them."""

from . import agents, runs

__all__ = ["agents", "runs"]
