"""A version as files that run without this service, with a certificate that they answer as it does."""
