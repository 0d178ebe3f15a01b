"""A run's settings, the recipes that are defaults of them, and how both come together."""
