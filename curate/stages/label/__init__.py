"""Label stage: assigns each image a category of the taxonomy, by a CLIP model."""
