"""HTTP request -> its fields and the pictures it brings: as the body, as parts of a form, or in base64 within JSON."""

import base64
import binascii
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TypeVar

from python_multipart import FormParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File, parse_options_header
from starlette.requests import Request

from serving.bodies import BodyReader
from serving.contents import as_utf8
from serving.deadline import run_before_deadline
from serving.errors import Location, RequestError, field_error
from serving.picture_schema import PictureRequest
from serving.request_reading import RequestReader, content_type_of, is_json, media_type, refuse_query
from serving.settings import Settings
from serving.threads import Threads

# What clients send that do not know what they send: curl --data-binary says that it is a form
_SAYS_NOTHING = ("", "application/octet-stream", "application/x-www-form-urlencoded")
_PICTURE = re.compile(rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|RIFF....WEBP", re.DOTALL)
_DATA_URL = re.compile(r"\s*data:[^,;]{0,100}(;[^,;]{0,100}){0,3},", re.IGNORECASE)
_URL_SAFE = str.maketrans("-_", "+/")
_FORM = "multipart/form-data"
_MOST_PARTS = 1000
logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of what callers send
_HOW = "send a PNG, JPEG or WebP file as the body, as parts of a form called image, or in base64 in the field images of JSON"

Fields = TypeVar("Fields", bound=PictureRequest)
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class SentPicture:
    """An image file of a request."""

    where: Location  # how errors name it
    content: bytes


@dataclass
class _Form:
    """The parts of a form."""

    pictures: list[bytes] = field(default_factory=list)
    texts: list[tuple[str, str]] = field(default_factory=list)
    json: list[bytes] = field(default_factory=list)  # parts with all fields
    parts: int = 0
    whole: bool = False  # whether the last boundary has come

    def end(self) -> None:
        self.whole = True

    def add_field(self, part: Field) -> None:
        name = (part.field_name or b"").decode("utf-8", "replace")
        if name == "image":
            self._add_picture(part.value or b"", named=False)
            return
        self._count()
        if name == "fields":
            self.json.append(part.value or b"")
            return
        if not name:
            raise RequestError(HTTPStatus.UNPROCESSABLE_ENTITY, "a part of the form has no name; call pictures image")
        try:
            self.texts.append((name, (part.value or b"").decode()))
        except UnicodeDecodeError:
            raise field_error((name[:100],), "is not UTF-8") from None

    def add_file(self, part: File) -> None:
        name = (part.field_name or b"").decode("utf-8", "replace")
        part.file_object.seek(0)
        content = part.file_object.read()
        if name == "image":
            self._add_picture(content, named=bool(part.file_name))
        elif name == "fields":  # a part of JSON may come as a file
            self._count()
            self.json.append(content)
        else:
            raise field_error((name[:100],), "is a file; call pictures image")

    def _add_picture(self, content: bytes, named: bool) -> None:
        self._count()
        if content or named:  # neither is what a browser sends where no file was chosen
            self.pictures.append(content)

    def _count(self) -> None:
        self.parts += 1
        if self.parts > _MOST_PARTS:
            raise RequestError(HTTPStatus.UNPROCESSABLE_ENTITY, f"the form has over {_MOST_PARTS} parts; send fewer pictures")


class PictureReader:
    """Reads requests that bring pictures."""

    def __init__(self, settings: Settings, reader: RequestReader) -> None:
        self._bodies = BodyReader(settings.max_body_image, "send fewer or smaller pictures")
        self._reader, self._most_without, self._most_values = reader, settings.max_body, settings.max_body // 2
        self._deadline = settings.deadline
        self._parser = Threads(1, "forms")

    async def read(self, kind: type[Fields], request: Request, held: ExitStack) -> tuple[Fields, list[SentPicture]]:
        """The fields, and the pictures, of which there may be none; they count until `held` is closed. Raises RequestError."""
        content_type = content_type_of(request)
        name = media_type(content_type)
        if name not in (*_SAYS_NOTHING, _FORM) and not (name.startswith("image/") or is_json(name)):
            raise _unsupported(name)
        body = await self._bodies.read(request, held)
        if name.startswith("image/") or (name in _SAYS_NOTHING and _PICTURE.match(body)):
            return kind.from_query(request.query_params.multi_items()), [SentPicture(("image",), body)]
        if name == _FORM:
            refuse_query(request)
            return await self._in_thread(request, lambda: _of_form(kind, content_type, body))
        if not body and any(text.strip() for _, text in request.query_params.multi_items()):
            raise field_error(("image",), f"is missing: the body is empty, and the query is for a picture that is the body; {_HOW}")
        if is_json(name) or not body:
            if body.count(b",") > self._most_values:  # lists of numbers take forty times the memory of their text; base64 has none
                raise RequestError(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body has more values than one of GAN_MAX_BODY has room for"
                )
            fields = await self._reader.parse(kind, body, request)
            encoded = fields.images or []
            if not encoded and len(body) > self._most_without:
                raise RequestError(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {self._most_without} bytes; ask for fewer images"
                )
            return fields, await self._in_thread(request, lambda: list(_of_base64(encoded))) if encoded else []
        raise _unsupported(name)

    async def _in_thread(self, request: Request, work: Callable[[], _Result]) -> _Result:
        return await run_before_deadline(self._parser.run(work), request, self._deadline)


def is_picture(content: bytes) -> bool:
    """Whether a file begins as a PNG, JPEG or WebP does."""
    return _PICTURE.match(content) is not None


def _unsupported(name: str) -> RequestError:
    return RequestError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Content-Type: {name or 'missing'}; {_HOW}")


def some(pictures: list[SentPicture]) -> list[SentPicture]:
    """The pictures. Raises RequestError if there are none."""
    if not pictures:
        raise field_error(("image",), f"is missing; {_HOW}")
    return pictures


def _of_form(kind: type[Fields], content_type: str, body: bytes) -> tuple[Fields, list[SentPicture]]:
    form = _Form()
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise RequestError(HTTPStatus.BAD_REQUEST, f"Content-Type: {_FORM}: there is no boundary between its parts")
    start = max(0, body.find(b"--" + boundary))  # before it may stand what is to be ignored (RFC 2046, section 5.1.1)
    options = {"MAX_MEMORY_FILE_SIZE": len(body) + 1}
    parser = None
    try:
        parser = FormParser(_FORM, form.add_field, form.add_file, form.end, boundary, config=options)
        parser.write(body[start:] if start else body)
        parser.finalize()
    except FormParserError:
        raise RequestError(
            HTTPStatus.BAD_REQUEST, f"the body is not {_FORM}, parts with names between boundaries (RFC 7578)"
        ) from None
    finally:
        if parser is not None and parser.parser is not None:
            parser.parser.callbacks = {}  # by which it holds itself, and the parts, until a garbage collection
    if not form.whole:
        raise RequestError(HTTPStatus.BAD_REQUEST, f"the body is not whole: {_FORM} ends with its boundary and --")
    pictures = [SentPicture(("image", place), content) for place, content in enumerate(form.pictures)]
    return _fields_of_form(kind, form), pictures


def _fields_of_form(kind: type[Fields], form: _Form) -> Fields:
    if not form.json:
        return kind.from_query(form.texts)
    if form.texts or len(form.json) > 1:
        other = form.texts[0][0][:100] if form.texts else "another part of its name"
        raise field_error(("fields",), f"excludes {other}; give one of them")
    try:
        return kind.from_json(as_utf8(form.json[0], ""))
    except RequestError as error:
        if error.errors and error.errors[0][0] != ("body",):
            raise
        raise field_error(("fields",), f'must be the fields as JSON, such as {{"label": 3}} ({error.detail})') from None


def _of_base64(images: list[str]) -> Iterator[SentPicture]:
    for place, text in enumerate(images):
        start = _DATA_URL.match(text)
        letters = "".join((text[start.end() :] if start else text).split()).translate(_URL_SAFE)
        try:
            content = base64.b64decode(letters, validate=True)
        except (binascii.Error, ValueError):
            raise field_error(("images", place), "is not base64; encode the bytes of the file, as `base64 shoe.jpg` does") from None
        yield SentPicture(("images", place), content)
