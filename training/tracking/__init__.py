"""The folder of a run, its statistics, warnings and report."""
