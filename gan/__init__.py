"""What training and serving share: networks, seeds, the model folder, runtimes and pictures.

Knows no HTTP and no training loop. Imports torch only in `networks/` and `torch_runtime`, so that the service runs without it.
"""
