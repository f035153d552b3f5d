"""Files to arrays, in processes of their own: what a hostile file can do ends with one of them."""

from tsugiki.data.decoding.pool import DecoderPool

__all__ = ["DecoderPool"]
