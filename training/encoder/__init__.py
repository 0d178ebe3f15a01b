"""Encoders of finished models, and scores of how unusual pictures are."""
