"""Checks before the start: whether every model can be fetched, loaded and run."""

import multiprocessing
from multiprocessing.connection import Connection

from gan.errors import ModelFolderError
from serving.fetching import fetch
from serving.models import Models
from serving.settings import Settings


def check_in_a_child(settings: Settings) -> None:
    """Fetch the models of GAN_FETCH, load every model once and generate with it, in a child process that gives the memory back.

    Raises ModelFolderError with the sentence that loading them here would raise.
    """
    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=_check, args=(settings, sender), daemon=True)
    child.start()
    sender.close()
    try:
        reason = receiver.recv()
    except EOFError:
        child.join()
        reason = (
            f"loading the models in {settings.models} ended the process (exit status {child.exitcode}): is there memory enough?"
        )
    except SystemExit:  # from the handler of SIGTERM
        child.terminate()
        child.join(5)
        child.kill()
        raise
    child.join()
    if reason:
        raise ModelFolderError(reason)


def _check(settings: Settings, sender: Connection) -> None:
    """Send the reason why the models cannot be served; an empty text if they can."""
    try:
        for address in settings.fetch:
            fetch(address, settings.models)
        Models(settings.model_copy(update={"threads": 1}))  # which leaves no number of threads to choose by the clock
        sender.send("")
    except ModelFolderError as error:
        sender.send(str(error))
    except Exception as error:  # not foreseen; the parent reports it too
        sender.send(f"cannot load the models in {settings.models} ({type(error).__name__}: {error})")
        raise
