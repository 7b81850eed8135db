"""What the motion filter must do, in plain numpy.

ByteTrack's filter (Zhang et al. 2022, after DeepSORT, Wojke et al. 2017): constant velocity, noise in proportion to the
size of the box. Its matrices never couple the four coordinates, so it is four filters of two states each. A track is a
row of 20 numbers, four of each kind: position, velocity, Ppp, Ppv, Pvv. Coordinates are cx, cy, w, h, or, with
`aspect`, cx, cy, w/h, h as published.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from typing import TypeAlias

    from numpy.typing import NDArray

    from tilewatch.records import Bool

    F64: TypeAlias = NDArray[np.float64]

PER_SIZE = (1 / 20, 1 / 160)
"""Standard deviations of position and velocity as shares of the box's size, and of the aspect ratio as they are."""
OF_ASPECT = (1e-2, 1e-5)
MEASURED_ASPECT = 1e-1


def start(boxes: F64, *, aspect: bool) -> F64:
    """Return (N, 20) tracks at rest at boxes (N, 4) left top right bottom."""
    position = _coordinates(boxes, aspect=aspect)
    of_position = _variance(position, 2 * PER_SIZE[0], OF_ASPECT[0], aspect=aspect)
    of_velocity = _variance(position, 10 * PER_SIZE[1], OF_ASPECT[1], aspect=aspect)
    nothing = np.zeros_like(position)
    return np.hstack([position, nothing, of_position, nothing, of_velocity])


def predict(table: F64, steps: float, moving: Bool, *, aspect: bool) -> None:
    """Go on by any number of steps, in place; for a whole number exactly what single steps would give.

    Tracks that are not `moving` first lose their rate of growth. Sizes stay above 0.
    """
    position, velocity, pp, pv, vv = np.hsplit(table, 5)  # views
    velocity[~moving, 3] = 0
    if not aspect:
        velocity[~moving, 2] = 0
    q, r = (_variance(position, share, fixed, aspect=aspect) for share, fixed in zip(PER_SIZE, OF_ASPECT, strict=True))
    k = steps
    in_pp, in_pv = ((k - 1) * k * (2 * k - 1) / 6, k * (k - 1) / 2) if k >= 1 else (0.0, 0.0)
    position += k * velocity
    pp += 2 * k * pv + k * k * vv + k * q + r * in_pp
    pv += k * vv + r * in_pv
    vv += k * r
    if not aspect:
        np.maximum(position[:, 2:], 1e-3, out=position[:, 2:])


def correct(table: F64, boxes: F64, *, aspect: bool) -> None:
    """Take in a measured box for each track, in place."""
    position, velocity, pp, pv, vv = np.hsplit(table, 5)  # views
    spread = pp + _variance(position, PER_SIZE[0], MEASURED_ASPECT, aspect=aspect)
    gain_p, gain_v = pp / spread, pv / spread
    surprise = _coordinates(boxes, aspect=aspect) - position
    position += gain_p * surprise
    velocity += gain_v * surprise
    pp -= gain_p * gain_p * spread
    pv -= gain_p * gain_v * spread
    vv -= gain_v * gain_v * spread


def bounds(table: F64, *, aspect: bool) -> F64:
    """Return (N, 4) left top right bottom of the positions."""
    half = table[:, 2:4] / 2
    if aspect:
        half[:, 0] *= table[:, 3]
    return np.hstack([table[:, :2] - half, table[:, :2] + half])


def _coordinates(boxes: F64, *, aspect: bool) -> F64:
    """Return (N, 4) filter coordinates of boxes."""
    sizes = boxes[:, 2:] - boxes[:, :2]
    centres = boxes[:, :2] + sizes / 2
    if aspect:
        sizes[:, 0] /= sizes[:, 1]
    return np.hstack([centres, sizes])


def _variance(position: F64, per_size: float, of_aspect: float, *, aspect: bool) -> F64:
    """Return (N, 4) variances: the square of a share of the box's size, or of a constant for the aspect ratio."""
    deviation: F64 = per_size * position[:, [2, 3, 2, 3]]
    if aspect:
        deviation = per_size * position[:, [3, 3, 3, 3]]
        deviation[:, 2] = of_aspect
    return deviation * deviation
