"""Images for training: the text of --data -> uint8 arrays of one size, with labels, an order and a fingerprint."""

from gan.images.decoding import MAX_PIXELS
from gan.images.fitting import Fit
from training.data.catalog import BUILTIN_DATASETS
from training.data.dataset import Dataset, HeldOut
from training.data.inspection import Survey, survey
from training.data.loading import load
from training.data.points import POINT_SETS

__all__ = ["BUILTIN_DATASETS", "MAX_PIXELS", "POINT_SETS", "Dataset", "Fit", "HeldOut", "Survey", "load", "survey"]
