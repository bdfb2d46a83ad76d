"""Admin screens of experiments; importing this package registers them."""

from . import exclusion, experiments, flags

__all__ = ["exclusion", "experiments", "flags"]
