"""What is seen of a run: its folder, statistics, warnings, report."""
