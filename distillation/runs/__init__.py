"""Run folders: files, resuming, interruption, sampling, sharding."""
