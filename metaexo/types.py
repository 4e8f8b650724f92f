"""Types of arrays, by what they hold: one statement for the whole package."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Index = NDArray[np.intp]
Words = NDArray[np.object_]
