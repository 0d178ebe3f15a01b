"""The measuring command: `python -m training.evaluate`."""

from training.cli import console
from training.cli.evaluate import main as main

if __name__ == "__main__":
    console.run(main)
