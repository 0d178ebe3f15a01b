"""The command that gives a finished model an encoder and a score: `python -m training.encoder`."""

from training.cli import console
from training.cli.encoder import main

if __name__ == "__main__":
    console.run(main)
