"""LitServe as documented: a batch of up to 16, filled for at most 5 ms."""

import os

import litserve
from fastapi import Response

from benchmarks.peers.drawing import draw


class Drawing(litserve.LitAPI):
    """POST /generate {"seed": 7}."""

    def setup(self, device: str) -> None:
        """Nothing to load: the drawing module has loaded the model."""

    def decode_request(self, request: dict) -> int:
        """The seed."""
        return request["seed"]

    def batch(self, inputs: list[int]) -> list[int]:
        """Keep the list of seeds."""
        return inputs

    def predict(self, inputs: list[int]) -> list[bytes]:
        """One PNG for each seed."""
        return draw(inputs)

    def unbatch(self, output: list[bytes]) -> list[bytes]:
        """Keep the list of PNGs."""
        return output

    def encode_response(self, output: bytes) -> Response:
        """Response with the PNG."""
        return Response(output, media_type="image/png")


if __name__ == "__main__":
    api = Drawing(max_batch_size=16, batch_timeout=0.005, api_path="/generate")
    server = litserve.LitServer(api, accelerator="cpu", timeout=60)
    server.run(host="127.0.0.1", port=int(os.environ["PEER_PORT"]), generate_client_file=False, log_level="error")
