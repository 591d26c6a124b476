"""Train a vocabulary, map two onto each other, and the KL across them."""
