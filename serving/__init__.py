"""Model folder -> HTTP. Imports neither training nor torch."""
