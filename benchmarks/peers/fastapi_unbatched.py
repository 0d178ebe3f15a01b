"""FastAPI and ONNX Runtime without batching: each request runs in a thread of FastAPI's pool."""

from fastapi import FastAPI, Response
from pydantic import BaseModel

from benchmarks.peers.drawing import draw


class Body(BaseModel):
    """Body of a request."""

    seed: int


app = FastAPI()


@app.post("/generate")
def generate(body: Body) -> Response:
    """One PNG."""
    return Response(draw([body.seed])[0], media_type="image/png")
