from . import health_checks

__all__ = ["health_checks"]
