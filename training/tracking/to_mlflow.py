"""MLflow: a run in the store of MLFLOW_TRACKING_URI, in the experiment of MLFLOW_EXPERIMENT_NAME."""

import os
import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from gan.images.encoding import Images
from training.config import files
from training.config.schema import TrainingConfig
from training.errors import UsageError

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_EXPERIMENT = "gan-service"  # where the environment names none
_LONGEST_PARAMETER = 500  # characters that every version of a server takes
_IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "15"}  # else 4 minutes for each call


class Mlflow:
    """A run of MLflow. It is written to by a thread, so that training does not wait for a server.

    What that thread cannot write is raised by the next call.
    """

    def __init__(self, client: "MlflowClient", run_id: str) -> None:
        self._client, self.run_id = client, run_id
        self._thread = ThreadPoolExecutor(1, "mlflow")
        self._failure: Exception | None = None

    def scalars(self, values: Mapping[str, float], seen: int) -> None:
        """Write numbers after `seen` images, which are MLflow's steps."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(re.sub(r"[^\w./ -]", "_", name), value, now, seen) for name, value in values.items()]
        self._later(lambda: self._client.log_batch(self.run_id, metrics=metrics))

    def image(self, name: str, image: Images, seen: int) -> None:
        """Write an image after `seen` images, uint8 [height, width, channels]."""
        self._later(lambda: self._client.log_image(self.run_id, image, key=name, step=seen))

    def close(self, finished: bool) -> None:
        """Wait for the thread, but not for a server that does not answer, and end the run there."""
        self._thread.shutdown(cancel_futures=self._failure is not None)
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        self._client.set_terminated(self.run_id, "FINISHED" if finished else "KILLED")

    def _later(self, write: Callable[[], object]) -> None:
        failure, self._failure = self._failure, None
        self._thread.submit(self._try, write)
        if failure is not None:
            raise failure

    def _try(self, write: Callable[[], object]) -> None:
        try:
            write()
        except Exception as error:  # of any of the stores, which share no base class
            self._failure = error


def open_run(config: TrainingConfig, folder: Path, run_id: str | None) -> Mlflow:
    """Make a run, or go on with that of an id. Raises UsageError for a store that cannot be used."""
    for name, value in _IMPATIENT.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")  # it warns where there is no git
    from mlflow.tracking import MlflowClient, get_tracking_uri

    try:
        client = MlflowClient()
        if run_id is None:
            run_id = _create(client, config, folder)
        else:
            client.update_run(run_id, status="RUNNING")
        client.log_text(run_id, files.to_yaml(config), files.CONFIG)
    except Exception as error:  # of any of the stores, which share no base class
        where = f"the run {run_id} in " if run_id else ""
        anew = f", or remove {folder / 'tracking.json'} to begin another run" if run_id else ""
        raise UsageError(
            f"--log mlflow: cannot use {where}{get_tracking_uri()} ({' '.join(str(error).split())}): see that MLFLOW_TRACKING_URI "
            f"is right{anew}, or leave mlflow out of --log"
        ) from error
    return Mlflow(client, run_id)


def _create(client: "MlflowClient", config: TrainingConfig, folder: Path) -> str:
    """A new run with the configuration as its parameters; returns its id."""
    from mlflow.entities import Param

    experiment = os.environ.get("MLFLOW_EXPERIMENT_ID")
    if experiment is None:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", _EXPERIMENT)
        found = client.get_experiment_by_name(name)
        experiment = client.create_experiment(name) if found is None else found.experiment_id
    run_id = str(client.create_run(experiment, run_name=folder.name).info.run_id)
    settings = config.model_dump(mode="json").items()
    client.log_batch(run_id, params=[Param(name, str(value)[:_LONGEST_PARAMETER]) for name, value in settings])
    return run_id
