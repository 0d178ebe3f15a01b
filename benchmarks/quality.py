"""Quality of a plain DCGAN loop over time: `python -m benchmarks.quality runs/plain --minutes 30`.

Measured as a run's checkpoints are, into a folder like a run's, so that `python -m training.compare runs/plain RUN …` compares
the loop with runs. As in those, measuring counts as time; unlike theirs, its generator is the one that is trained, with no moving
average.
"""

import argparse
import copy
import json
from pathlib import Path
from time import perf_counter

import torch
from torch import nn
from tqdm import tqdm

from benchmarks.peers import plain_dcgan
from gan.latents import InputSpec, inputs_of_seeds
from training.config import files
from training.config.schema import TrainingConfig
from training.data import load
from training.engine.checkpoint_quality import generate_nchw
from training.evaluation.evaluator import Evaluator
from training.tracking.stats import STATS

_BATCH_SIZE = 128


def main() -> None:
    """Train and measure until the time is up."""
    parser = argparse.ArgumentParser("python -m benchmarks.quality", description=__doc__)
    parser.add_argument("folder", type=Path, help="a new folder, like a run's")
    parser.add_argument("--minutes", type=float, default=30, help="of training (default: %(default)s)")
    parser.add_argument("--every", type=int, default=20_000, help="images between two measures (default: %(default)s)")
    parser.add_argument("--measure", type=int, default=1000, help="seeds, and held-out images (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of the processor (default: all)")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)

    config = TrainingConfig(name="plain-dcgan", batch_size=_BATCH_SIZE, precision="float32", measure=given.measure)
    dataset = load(config.data, config.size, labelled=True)
    checkpoint_evaluator = Evaluator.from_dataset(dataset, "classifier").checkpoint_evaluator(given.measure)
    rows = inputs_of_seeds(range(given.measure), InputSpec(config.z_dim))
    given.folder.mkdir(parents=True)
    files.write_config(given.folder, config)

    seen = 0

    def after_step(generator: nn.Module) -> bool:
        nonlocal seen
        before, seen = seen, seen + _BATCH_SIZE
        seconds = perf_counter() - start
        over = seconds >= 60 * given.minutes
        if over or before // given.every < seen // given.every:
            found = checkpoint_evaluator.measure(generate_nchw(copy.deepcopy(generator).eval(), rows))
            with (given.folder / STATS).open("a") as file:
                file.write(json.dumps(checkpoint_evaluator.row(seen, seconds, found)) + "\n")
            bar.set_postfix(found)
        bar.update(_BATCH_SIZE)
        return over

    with tqdm(unit="pic", unit_scale=True) as bar:
        start = perf_counter()
        plain_dcgan.train(dataset.images, _BATCH_SIZE, after_step)


if __name__ == "__main__":
    main()
