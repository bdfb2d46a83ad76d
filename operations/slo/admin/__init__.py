from . import maintenance, slis, slos

__all__ = ["maintenance", "slis", "slos"]
