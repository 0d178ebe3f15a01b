"""The errors of training, each of which ends in a sentence for people.

    GanServiceError (gan.errors)
      + ModelFolderError (gan.errors)
      + UsageError
      + DataError
      + CheckpointError (training.engine.checkpoint)
      + DiskError
      + DivergenceError
      + LostProcessError
      + EvaluationTargetError
      + FeaturesUnavailableError
      + ExportError
      + HistoryError
      + ConversionError
      + HubError

Commands catch the base class, print the sentence and exit with its `exit_status`.
"""

from gan.errors import GanServiceError


class UsageError(GanServiceError):
    """A command that cannot be carried out as given; the message names the flag and the remedy."""


class DataError(GanServiceError):
    """Data that cannot be trained on; the message names the flag or file and the remedy."""


class DiskError(GanServiceError):
    """A file that cannot be written; the message names the disk, the folder, the reason and the remedy."""

    exit_status = 1


class DivergenceError(GanServiceError):
    """Training that makes no progress any more; the message says why, names the last good checkpoint, and the remedy."""


class LostProcessError(GanServiceError):
    """Another process of a run that has ended or does not answer, without which this one cannot go on."""

    exit_status = 1


class EvaluationTargetError(GanServiceError):
    """Images or a model that cannot be measured as asked; the message names the flag or folder and the remedy."""


class FeaturesUnavailableError(GanServiceError):
    """A feature network that is not available; the message says why and what to do."""


class ExportError(GanServiceError):
    """An exported file whose images differ from those of the network in memory."""


class HistoryError(GanServiceError):
    """Runs that cannot be compared; the message names the folder or the flag and the remedy."""


class ConversionError(GanServiceError):
    """A model of another program that cannot be converted; the message says what it is, why, and the remedy."""


class HubError(GanServiceError):
    """A model that the Hugging Face Hub does not take; the message says why, and the remedy."""

    exit_status = 1
