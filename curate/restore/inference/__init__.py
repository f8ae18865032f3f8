"""Inference: pictures and folders restored, whole or tile by tile."""
