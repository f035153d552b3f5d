"""What runs a backbone's passes: one file a library, and the choice between them."""
