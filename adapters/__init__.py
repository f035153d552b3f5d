"""The ways to adapt, one module each. The literal below is the registry: cheapest first."""

from adapters.head import HeadMethod
from tsugiki.ports import Method

METHODS: tuple[Method, ...] = (HeadMethod(),)
