"""The ways in which clients describe calls, tools and agents in spans, and their translation into our terms."""

from .table import CONVENTIONS, convention_by_scope, is_wanted

__all__ = ["CONVENTIONS", "convention_by_scope", "is_wanted"]
