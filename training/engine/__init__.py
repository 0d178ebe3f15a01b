"""The training loop and what it needs: steps, state, checkpoints, devices, processes."""
