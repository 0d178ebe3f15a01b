"""The errors that end in a sentence for people, all of one base."""


class GanServiceError(Exception):
    """What cannot be done as asked; the message names the flag, field or file, the reason and the remedy."""

    exit_status = 2  # of a command that it ends


class ModelFolderError(GanServiceError):
    """A model folder that cannot be used; the message is one sentence that names the file, the reason and the remedy."""
