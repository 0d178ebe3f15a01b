"""The commands, and what they share: flags, streams."""
