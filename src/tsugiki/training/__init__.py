"""Training: heads on features, by a convex problem that is solved the same each time; networks, by the one loop."""
