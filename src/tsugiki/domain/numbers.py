"""Arrays as types: what they are made of is imported where types are checked only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
InputRow = NDArray[Any]  # what a network reads of one input; see Prepared
