"""Kinds of generators, recognised by the names and shapes of their tensors."""

from training.convert.files.sources import State
from training.convert.kinds import dcgan, r3gan, sngan, stylegan2, stylegan3
from training.convert.kinds.base import DiscriminatorError, Kind, Recognised
from training.errors import ConversionError

KINDS: list[Kind] = [*dcgan.KINDS, *sngan.KINDS, *r3gan.KINDS, *stylegan2.KINDS, *stylegan3.KINDS]

# What tensors of other shapes, and attributes of other types, make the functions raise that build a network of them
_MISFITS = (LookupError, ValueError, TypeError, ArithmeticError, AttributeError, RuntimeError, StopIteration)

# Layers of networks that judge images: of DCGANs they are found by their shapes
_OF_DISCRIMINATORS = (".fromrgb.", "b4.mbstd", "b4.out.", "final_linear.", "final_conv.", "to_logit.")


def recognise(state: State, wanted: str = "auto") -> Recognised | None:
    """The generator that these tensors are of; None if they are of no kind known.

    Raises ConversionError for a wrong tensor, DiscriminatorError for a network that judges images.
    """
    for kind in KINDS:
        if wanted in ("auto", kind.name) and kind.matches(state):
            try:
                return kind.build(state)
            except _MISFITS as error:
                reason = " ".join(str(error).split())[:150] or type(error).__name__
                raise ConversionError(
                    f"it looks like {kind.name}, and its tensors or attributes do not fit together ({reason}): it is damaged, or "
                    "of a changed program"
                ) from error
    if any(part in f".{name}" for name in state.tensors for part in _OF_DISCRIMINATORS):
        raise DiscriminatorError
    return None
