"""Models as they are used: answers for texts, from an exported folder or a checkpoint."""
