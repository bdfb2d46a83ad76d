"""How far a forecast may be off, for one bucket and for the sum of many.

With innovations ``e`` of variance ``s^2`` and responses ``psi_k`` (see :mod:`.smoothing`), and with ``m_h`` the
factor of a multiplicative season (else 1), the error of the bucket ``h`` ahead is
``m_h * sum over j of psi_(h-j) e_j``. Its variance is ``m_h^2 s^2 (psi_0^2 + ... + psi_(h-1)^2)`` (Hyndman, Koehler,
Ord & Snyder 2008, section 6.1). The errors of a path share their innovations and so do not average out: in the sum
over the buckets 1 to H the innovation ``j`` counts ``W_j = sum over h >= j of m_h psi_(h-j)``, and the variance
of the sum is ``s^2 (W_1^2 + ... + W_H^2)`` (the "lead time demand" of section 6.3 there). For simple smoothing
that is ``s^2`` times the sum of ``(1 + k alpha)^2`` for k from 0 to H - 1.

To that comes what is not known of the drift, which is wrong by the same amount in every bucket: ``h`` times its
standard error, and in the sum ``sum of h m_h`` times. Its variance is ``s^2 (psi_1^2 / n + 12 / n^3)``: that of the
mean step of a random walk with steps of ``psi_1 e``, and that of the slope of a line through independent errors.

Two constants close the gap between what a model promises in its own sample and what happens after it. They are
the same for every series and were chosen from a coarse grid, by the coverage on the M1, M3 and Tourism competitions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import stdtrit

from .seasonality import Season
from .smoothing import Fit
from .values import Array

LEVELS: Final = (0.8, 0.95)
INNOVATIONS: Final = 1.3
"""By what the in-sample variance of the innovations is raised: the fit was chosen to make it small."""
DRIFT: Final = 2.0
"""By what the standard error of the drift is raised: trends do not only drift, they turn."""
PARAMETERS: Final = 4
"""Estimated from the series: level, drift and two smoothing parameters; indices of a season come on top."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Variances of one fitted series: of an ``innovation`` and of the ``drift`` per bucket, both without season.

    ``freedom`` are the degrees of freedom that are left for Student's t.
    """

    innovation: float
    drift: float
    freedom: int


def quantile(level: float, freedom: int) -> float:
    """How many standard errors to each side of the mean hold ``level`` of Student's t."""
    return float(stdtrit(freedom, (1 + level) / 2))


def spread_of(fit: Fit, season: Season, alpha: float) -> Spread:
    """The spread of ``fit``, whose response to an innovation one bucket later is ``alpha``."""
    count = len(fit.errors)
    freedom = max(count - PARAMETERS - (season.period - 1), 2)
    innovation = INNOVATIONS * float(fit.errors @ fit.errors) / freedom
    return Spread(innovation, DRIFT**2 * innovation * (alpha**2 / count + 12 / count**3), freedom)


def of_each(spread: Spread, responses: Array, scale: Array) -> Array:
    """The standard error of each bucket ahead; ``scale`` are the factors ``m_h`` of the season."""
    ahead = np.arange(1, len(responses) + 1)
    variance = spread.innovation * np.cumsum(responses**2) + spread.drift * ahead**2
    return np.asarray(scale * np.sqrt(variance), dtype=np.float64)


def of_sum(spread: Spread, responses: Array, scale: Array, elapsed: float = 0.0) -> float:
    """The standard error of the sum of all buckets ahead, of the first of which a share ``elapsed`` is known.

    The innovation of a bucket is taken to come evenly over it: what is unknown of the first one has the
    variance ``(1 - elapsed) s^2``.
    """
    count = len(responses)
    weights = np.correlate(scale, responses, mode="full")[count - 1 :]
    weights[0] *= np.sqrt(1 - elapsed)
    ahead = np.arange(1, count + 1, dtype=np.float64) - elapsed
    drift = float(np.maximum(ahead, 0) @ scale)
    return float(np.sqrt(spread.innovation * float(weights @ weights) + spread.drift * drift**2))
