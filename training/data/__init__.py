"""Pictures for training: the text of --data -> uint8 arrays of one size, with labels, an order and a fingerprint."""

from training.data.dataset import DataError, Dataset, HeldOut
from training.data.decoding import MAX_PIXELS
from training.data.fitting import Fit
from training.data.known import KNOWN
from training.data.sources import load
from training.data.surveying import Survey, survey

__all__ = ["KNOWN", "MAX_PIXELS", "DataError", "Dataset", "Fit", "HeldOut", "Survey", "load", "survey"]
