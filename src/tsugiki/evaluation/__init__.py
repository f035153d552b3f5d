"""Evaluation: how good a version is, how sure that is, and whether it may go live."""
