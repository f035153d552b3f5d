"""The ways to adapt, one module each. The literal below is the registry: cheapest first."""

from adapters.full import FullMethod
from adapters.head import HeadMethod
from adapters.lora import LoraMethod
from adapters.partial import PartialMethod
from adapters.zero_shot import ZeroShotMethod
from tsugiki.ports import Method

METHODS: tuple[Method, ...] = (ZeroShotMethod(), HeadMethod(), LoraMethod(), PartialMethod(), FullMethod())
