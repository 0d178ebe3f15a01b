"""The commands, and their common parts: flags, streams."""
