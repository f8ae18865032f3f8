"""Training data: pictures of manifests, patches, batches, and the degradations that spoil them."""
