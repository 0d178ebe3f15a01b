"""Directions in a model's latent space: found, measured, and written into its folder."""
