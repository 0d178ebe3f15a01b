"""Generators that were trained elsewhere -> model folders, without running code that comes with them."""
