"""What the benchmarks compare with: the same task done the usual way."""
