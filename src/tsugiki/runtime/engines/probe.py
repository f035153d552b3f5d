"""What engines are measured on, and asked again when they may be broken; and how far answers may lie apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tsugiki.domain import Floats

MIN_COSINE = 0.999  # to fp32 features; below, heads fitted here and elsewhere would answer differently
# Short and long, plain and odd, as inputs are.
PROBE_TEXTS = (
    "hello",
    "I was charged twice for the same order",
    "Where is my parcel?",
    "What is the exchange rate between euros and dollars today?",
    "It broke after two days. I asked for a refund and nobody answered, although I wrote three times.",
    "good",
    "The battery lasts long, the screen is bright, but the sound could be better",
    "Please reset my password and tell me when it is done",
    "Ünïcödé, 日本語, 12,345.67 €, https://example.org/?a=b&c=d",
    "play some jazz in the kitchen",
    "He would have bought it if it had been cheaper",
    "wake me up at seven tomorrow morning",
    "!!!",
    "My card was stolen last night while I was travelling, and somebody has used it in a shop I have never been to",
    "turn the lights off",
    "a b c d e f g h i j k l m n o p q r s t u v w x y z",
)


def min_cosine(found: Floats, reference: Floats) -> float:
    """The least over rows of two (rows, dim); 0 where they are no features of one shape."""
    if found.shape != reference.shape or not np.isfinite(found).all():
        return 0.0
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(reference, axis=1)
    return float(((found * reference).sum(axis=1) / np.maximum(lengths, np.finfo(np.float32).tiny)).min())
