"""BentoML as its documentation has it: one batchable method, its batcher left to itself."""

import base64

import bentoml

from benchmarks.peers.drawing import draw


@bentoml.service(name="plain")
class Plain:
    """POST /generate {"seeds": [7]}."""

    @bentoml.api(batchable=True, max_batch_size=16)  # type: ignore[untyped-decorator]
    def generate(self, seeds: list[int]) -> list[str]:
        """Base64, since a batchable method cannot return images."""
        return [base64.b64encode(png).decode() for png in draw(seeds)]
