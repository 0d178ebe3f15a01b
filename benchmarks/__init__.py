"""Programs that measure, each side by side with its peer. The last figures are in docs/benchmarks.md."""
