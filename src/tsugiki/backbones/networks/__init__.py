"""Pretrained networks that no library reads from the files they come in: each from its weights to features."""
