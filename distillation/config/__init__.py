"""Recipe and command line become dataclasses; errors that users can cause. Imports neither torch nor transformers."""
