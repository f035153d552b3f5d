"""The HTTP edge: requests in, core out. The only code that knows BentoML or a web framework."""
