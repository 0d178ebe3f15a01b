"""Offline: images -> model folder. `python -m training.run --help` says how."""
