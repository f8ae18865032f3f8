"""Training: the loop, its losses, callbacks and exact resume."""
