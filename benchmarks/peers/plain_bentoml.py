"""BentoML as documented: one batchable method with the default batcher."""

import base64

import bentoml

from benchmarks.peers.drawing import draw


@bentoml.service(name="plain")
class Plain:
    """POST /generate {"seeds": [7]}."""

    @bentoml.api(batchable=True, max_batch_size=16)  # type: ignore[untyped-decorator]
    def generate(self, seeds: list[int]) -> list[str]:
        """One PNG for each seed in base64, since a batchable method cannot return images."""
        return [base64.b64encode(png).decode() for png in draw(seeds)]
