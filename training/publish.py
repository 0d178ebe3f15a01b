"""The publishing command: `python -m training.publish`."""

from training.cli import console
from training.cli.publish import main as main

if __name__ == "__main__":
    console.run(main)
