"""Small sets of the demo."""
