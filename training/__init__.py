"""Offline: images -> model folder. `python -m training.run --help` says how."""

import logging
import os

# Threads of OpenMP that wait for each other sleep instead of spinning, so that other programs can run meanwhile. It is read when
# torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# What training has to say is logged: a program that imports it hears nothing unless it asks for it.
logging.getLogger(__name__).addHandler(logging.NullHandler())
