"""Export of a trained generator to a model folder, and of the folder to the service."""
