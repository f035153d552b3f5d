"""A version as files that run without this service, with a certificate that they answer as it does."""

from tsugiki.export.bundle import Bundle, build
from tsugiki.export.parity import Parity, certify

__all__ = ["Bundle", "Parity", "build", "certify"]
