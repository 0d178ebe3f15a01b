"""A model folder in a program: load it, and draw, invert, edit and score as the service does."""

from gan.model.model import Model, load

__all__ = ["Model", "load"]
