"""What samples are made of: decoding, audit, folds."""
