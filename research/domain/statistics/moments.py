"""Sufficient statistics of an arm: shifted power sums over its units, of up to three variables.

The value ``x`` (the numerator of a ratio), the denominator ``d`` of a ratio, and a covariate ``c`` measured
before exposure. Each is summed as its distance from a shift ``K`` near the data, because the textbook
formula on raw sums loses every digit at an offset of 1e9 (Chan, Golub & LeVeque 1983, "Algorithms for
computing the sample variance", section on shifted data). Variances and covariances have the divisor n - 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .values import check_finite


@dataclass(frozen=True, slots=True)
class Moments:
    """Sums over ``n`` units: ``x_sum`` = sum of (x - x_shift), ``x_squares`` of its square, ``xd`` of products.

    Raises ValueError for sums that are not finite or that no data can have.
    """

    n: int
    x_shift: float = 0.0
    x_sum: float = 0.0
    x_squares: float = 0.0
    d_shift: float = 0.0
    d_sum: float = 0.0
    d_squares: float = 0.0
    c_shift: float = 0.0
    c_sum: float = 0.0
    c_squares: float = 0.0
    xd: float = 0.0
    xc: float = 0.0
    dc: float = 0.0

    def __post_init__(self) -> None:
        if self.n < 0:
            raise ValueError(f"n must not be negative, not {self.n}")
        # An infinity or NaN in any of them is one in their sum; finite ones may still overflow it.
        if not math.isfinite(
            self.x_sum + self.x_squares + self.d_sum + self.d_squares + self.c_sum + self.c_squares
            + self.xd + self.xc + self.dc + self.x_shift + self.d_shift + self.c_shift
        ):  # fmt: skip
            for one in fields(self):
                check_finite(one.name, getattr(self, one.name))
        if min(self.x_squares, self.d_squares, self.c_squares) < 0:
            raise ValueError("sums of squares must not be negative")

    @property
    def mean(self) -> float | None:
        """Mean of the value, None without units."""
        return self.x_shift + self.x_sum / self.n if self.n else None

    @property
    def denominator_mean(self) -> float | None:
        return self.d_shift + self.d_sum / self.n if self.n else None

    @property
    def covariate_mean(self) -> float | None:
        return self.c_shift + self.c_sum / self.n if self.n else None

    @property
    def variance(self) -> float | None:
        """Variance of the value, divisor n - 1; None below two units."""
        return _variance(self.n, self.x_sum, self.x_squares)

    @property
    def denominator_variance(self) -> float | None:
        return _variance(self.n, self.d_sum, self.d_squares)

    @property
    def covariate_variance(self) -> float | None:
        return _variance(self.n, self.c_sum, self.c_squares)

    @property
    def covariance_xd(self) -> float | None:
        """Covariance of value and denominator, divisor n - 1; None below two units."""
        return _covariance(self.n, self.x_sum, self.d_sum, self.xd)

    @property
    def covariance_xc(self) -> float | None:
        return _covariance(self.n, self.x_sum, self.c_sum, self.xc)

    @property
    def covariance_dc(self) -> float | None:
        return _covariance(self.n, self.d_sum, self.c_sum, self.dc)

    @property
    def total(self) -> float:
        """Sum of the value over all units; for a proportion, the units with the event."""
        return self.n * self.x_shift + self.x_sum

    def shifted(self, x_shift: float, d_shift: float, c_shift: float) -> Moments:
        """The same data summed around other shifts."""
        n = self.n
        x, d, c = self.x_shift - x_shift, self.d_shift - d_shift, self.c_shift - c_shift
        return Moments(
            n,
            x_shift,
            self.x_sum + n * x,
            max(0.0, self.x_squares + 2 * x * self.x_sum + n * x * x),
            d_shift,
            self.d_sum + n * d,
            max(0.0, self.d_squares + 2 * d * self.d_sum + n * d * d),
            c_shift,
            self.c_sum + n * c,
            max(0.0, self.c_squares + 2 * c * self.c_sum + n * c * c),
            self.xd + x * self.d_sum + d * self.x_sum + n * x * d,
            self.xc + x * self.c_sum + c * self.x_sum + n * x * c,
            self.dc + d * self.c_sum + c * self.d_sum + n * d * c,
        )

    def __add__(self, other: Moments) -> Moments:
        """The moments of both sets of units together, around the shifts of the larger one."""
        large, small = (self, other) if self.n >= other.n else (other, self)
        if not small.n:
            return large
        near = small.shifted(large.x_shift, large.d_shift, large.c_shift)
        return Moments(
            large.n + near.n,
            large.x_shift,
            large.x_sum + near.x_sum,
            large.x_squares + near.x_squares,
            large.d_shift,
            large.d_sum + near.d_sum,
            large.d_squares + near.d_squares,
            large.c_shift,
            large.c_sum + near.c_sum,
            large.c_squares + near.c_squares,
            large.xd + near.xd,
            large.xc + near.xc,
            large.dc + near.dc,
        )


def moments_of(
    values: ArrayLike, denominators: ArrayLike | None = None, covariates: ArrayLike | None = None
) -> Moments:
    """The moments of one value per unit, centred at the means, for recomputation from unit rows.

    Raises ValueError for values that are not finite or for variables of different lengths.
    """
    x = _column("values", values)
    d = np.zeros_like(x) if denominators is None else _column("denominators", denominators)
    c = np.zeros_like(x) if covariates is None else _column("covariates", covariates)
    if not len(x) == len(d) == len(c):
        raise ValueError("value, denominator and covariate need one entry per unit each")
    if not len(x):
        return Moments(0)
    # Around the middle of the extremes first: the mean of numbers near the largest float would overflow.
    shifts = [float(one[0] + (one - one[0]).mean()) for one in (x, d, c)]
    x, d, c = x - shifts[0], d - shifts[1], c - shifts[2]
    return Moments(
        len(x),
        shifts[0],
        float(x.sum()),
        float(x @ x),
        shifts[1],
        float(d.sum()),
        float(d @ d),
        shifts[2],
        float(c.sum()),
        float(c @ c),
        float(x @ d),
        float(x @ c),
        float(d @ c),
    )


def merged(parts: Iterable[Moments]) -> Moments:
    """The moments of all parts together."""
    return sum(parts, Moments(0))


def _column(name: str, values: ArrayLike) -> NDArray[np.float64]:
    column = np.asarray(values, dtype=np.float64)
    if column.ndim != 1:
        raise ValueError(f"{name} must be one number per unit")
    if not np.isfinite(column).all():
        raise ValueError(f"{name} must be finite")
    return column


def _variance(n: int, total: float, squares: float) -> float | None:
    if n < 2:
        return None
    spread = squares - total * total / n
    # What is left of equal values is the rounding of both terms, far below this share of the larger.
    return spread / (n - 1) if spread > 1e-14 * squares else 0.0


def _covariance(n: int, a: float, b: float, products: float) -> float | None:
    return (products - a * b / n) / (n - 1) if n >= 2 else None
