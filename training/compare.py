"""The comparing command: `python -m training.compare`."""

from training.cli import console
from training.cli.compare import main as main

if __name__ == "__main__":
    console.run(main)
