"""The training command: `python -m training.run`."""

from training.cli import console
from training.cli.train import main as main

if __name__ == "__main__":
    console.run(main)
