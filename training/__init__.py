"""Offline: images -> model folder. `python -m training.run --help` says how."""

import logging

# What training has to say is logged: a program that imports it hears nothing unless it asks for it.
logging.getLogger(__name__).addHandler(logging.NullHandler())
