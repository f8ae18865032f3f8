"""Datasets of the field as their authors pack them: manifests, statistics and ablations of them."""
