"""Losses, gradient penalties and augmentations: pure functions of tensors."""
