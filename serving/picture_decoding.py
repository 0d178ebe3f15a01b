"""Image files that people send -> what a model sees, by the code that decodes what it is trained on."""

import sys

import numpy as np
from numpy.typing import NDArray

from gan.images.decoding import DECODING_ERRORS, Options, bombs_are_errors, pixels_of
from gan.manifest import Manifest
from gan.model.pictures import as_seen, options_of
from serving.errors import field_error
from serving.picture_bodies import SentPicture, is_picture
from serving.picture_schema import PictureRequest
from serving.settings import Settings
from serving.threads import Threads

_FORMATS = ("PNG", "JPEG", "WEBP")


class PictureDecoder:
    """Decodes the pictures of all requests, one at a time: the largest take some hundred MB."""

    def __init__(self, settings: Settings) -> None:
        self._max_pixels = settings.max_input_pixels
        self._threads = Threads(1, "decode")

    async def decode(self, pictures: list[SentPicture], fields: PictureRequest, manifest: Manifest) -> NDArray[np.float32]:
        """The pictures as the model sees them, float32 [n, channels, height, width] in [-1, 1].

        Raises RequestError, which names the picture.
        """
        try:
            options = options_of(manifest, fields.fit, fields.background, _FORMATS)
        except ValueError as error:
            raise field_error(("background",), str(error)) from None
        decoded = np.empty((len(pictures), manifest.channels, manifest.height, manifest.width), np.float32)
        for place, picture in enumerate(pictures):
            decoded[place] = await self._threads.run(self._decode, picture, options, manifest.channels)
        return decoded

    def _decode(self, picture: SentPicture, options: Options, channels: int) -> NDArray[np.float32]:
        # Pillow's limit is the process's, but no other thread of it opens image files.
        with bombs_are_errors(sys.maxsize):
            if not is_picture(picture.content):
                raise field_error(picture.where, "is no PNG, JPEG or WebP file; convert it to one")
            try:
                pixels = pixels_of(picture.content, _FORMATS)
                if pixels > self._max_pixels:
                    raise field_error(
                        picture.where, f"has {pixels} pixels, over {self._max_pixels} (GAN_MAX_INPUT_PIXELS); scale it down"
                    )
                return as_seen(picture.content, options, channels)
            except DECODING_ERRORS as error:
                reason = str(error) or type(error).__name__
                raise field_error(picture.where, f"cannot be read as PNG, JPEG or WebP ({reason[:200]}); save it again") from None
