"""Generators and discriminators, one file per family, both sides of the game side by side."""
