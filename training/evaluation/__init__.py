"""How good generated images are: features, measures, and the images that are compared."""
