"""Generators and discriminators, one file per family, both networks of a family side by side."""
