"""Label: which of the taxonomy's categories an image belongs to, by a CLIP model."""
