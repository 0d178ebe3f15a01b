"""A trained generator to a model folder, and the folder to the service."""
