"""The bento -> an image and what is known of it. Not part of either."""
