"""Sine and cosine together, as arithmetic that XLA fuses and vectorises: on a CPU it would otherwise call a
scalar function for each.

x = k pi/2 + r with |r| <= pi/4, where pi/2 is split in two parts such that k times the first is exact (Cody
and Waite, Software Manual for the Elementary Functions, 1980; the parts are those of fdlibm's e_rem_pio2.c).
Then follow Taylor's series in r, cut where the next term is below 5e-17, and the quadrant.
"""

import math
from collections.abc import Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

HALF_PI = (1.5707963267341256, 6.077100506506192e-11)  # 33 bits, and the rest
LARGEST = 1e6  # |x| up to which k has no more than the 20 bits that leave k * HALF_PI[0] exact
SIN = [(-1) ** i / math.factorial(2 * i + 1) for i in range(8)]  # of r r^2i
COS = [(-1) ** i / math.factorial(2 * i) for i in range(9)]  # of r^2i


def sin_cos(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(sin x, cos x) for x in radians, of any shape, in its dtype.

    The arithmetic is float64, which must be enabled (jax_enable_x64). Its absolute error is at most 3e-16
    for |x| <= LARGEST, and beyond that about the spacing of float64 numbers at x.
    """
    wide = x.astype(jnp.float64)
    k = jnp.round(wide * (2 / math.pi))
    r = (wide - k * HALF_PI[0]) - k * HALF_PI[1]
    sin, cos = r * _polynomial(SIN, r * r), _polynomial(COS, r * r)
    quadrant = (k - 4 * jnp.floor(k / 4)).astype(jnp.int32)
    odd = quadrant & 1 == 1
    sin, cos = (
        jnp.where(odd, cos, sin) * (1 - (quadrant & 2)),
        jnp.where(odd, sin, cos) * (1 - ((quadrant + 1) & 2)),
    )
    return sin.astype(x.dtype), cos.astype(x.dtype)


AnArray = TypeVar("AnArray", jax.Array, np.ndarray)


def reduced(angles: AnArray) -> AnArray:
    """The same angles in radians, those beyond one turn reduced to [-pi, pi]; float64, of any shape and
    magnitude.

    Neither float32 nor XLA's float32 sine can represent an angle of many turns: at 1e6, neighbouring float32
    numbers are 0.06 rad apart. So the angle is reduced before the cast, in float64, by the system's sine and
    cosine, whose reduction is exact (Payne and Hanek, ACM SIGNUM Newsletter 18, 19, 1983), and which XLA
    calls too. Angles of up to one turn are returned unchanged; infinite ones become NaN.
    """
    if isinstance(angles, jax.Array):
        within = jnp.arctan2(jnp.sin(angles), jnp.cos(angles))
        return jnp.where(jnp.abs(angles) > 2 * math.pi, within, angles)
    far = np.abs(angles) > 2 * math.pi
    if not far.any():
        return angles
    reduced = angles.copy()
    with np.errstate(invalid="ignore"):  # of infinity: NaN, which the training finds
        reduced[far] = np.arctan2(np.sin(angles[far]), np.cos(angles[far]))
    return reduced


def _polynomial(coefficients: Sequence[float], z: jax.Array) -> jax.Array | float:
    value: jax.Array | float = coefficients[-1]
    for c in coefficients[-2::-1]:
        value = value * z + c
    return value
