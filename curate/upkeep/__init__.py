"""What a dataset needs once it is published: images are taken out, candidates added, and what is left is checked."""
