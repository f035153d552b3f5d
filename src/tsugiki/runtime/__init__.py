"""Serving: engines, the batcher, the banks of heads, residency, and the predictor that ties them."""
