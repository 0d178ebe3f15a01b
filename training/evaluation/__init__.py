"""How good generated pictures are: features, measures, and the pictures that are compared."""
