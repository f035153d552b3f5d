"""The ways to adapt, one module each. The literal below is the registry: cheapest first."""

from adapters.head import HeadMethod
from adapters.zero_shot import ZeroShotMethod
from tsugiki.ports import Method

METHODS: tuple[Method, ...] = (ZeroShotMethod(), HeadMethod())
"""`zero_shot`: what the labels are called, no samples. `head`: a linear classifier on the features of the frozen
backbone."""
