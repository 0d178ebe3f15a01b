"""The settings of the service, each an environment variable or a secret file."""

import os
import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from gan.errors import GanServiceError
from gan.paths import UserPath
from gan.runtimes import ENGINES
from gan.runtimes.base import DeviceName, PrecisionName
from serving.cors import origin
from serving.secret_files import SecretFiles

_SECRETS = Path("/run/secrets")  # where Docker, Podman and Compose mount the secrets of a container
_YEAR = 365 * 24 * 3600.0  # seconds; waits for much longer overflow
_ABOUT_ENGINES = "; ".join(f"{name} {kind.about}" for name, kind in ENGINES.items())


class KeyFileError(GanServiceError):
    """A file of keys that cannot be used."""


def _is_engine(name: str) -> str:
    if name not in ENGINES:
        raise ValueError(f"there is no such engine; take {' or '.join(ENGINES)}")
    return name


class Settings(BaseSettings):
    """Read from the environment, the field `models` from GAN_MODELS and so on, or else from a secret file of that name."""

    model_config = SettingsConfigDict(
        env_prefix="GAN_",
        env_ignore_empty=True,
        frozen=True,
        use_attribute_docstrings=True,
        secrets_dir=_SECRETS,
    )

    @classmethod
    def settings_customise_sources(cls, *_: Any, **sources: Any) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments go before the environment, and that before secret files."""
        secrets = SecretFiles(cls, Path(str(cls.model_config["secrets_dir"])))
        return sources["init_settings"], sources["env_settings"], secrets

    models: UserPath = Path(__file__).resolve().parent.parent / "models"
    """the folder that holds the model folders"""
    fetch: Annotated[tuple[str, ...], NoDecode] = ()
    """addresses of model folders, by spaces, each with `#sha256=` and that of its model.json; put into GAN_MODELS at the start"""
    default_model: str | None = None
    """the model for requests that name none; by default the only one there is, or else avatars, or fashion-mnist"""
    runtime: Annotated[str, AfterValidator(_is_engine)] = Field("onnx", description=_ABOUT_ENGINES)
    device: DeviceName = "auto"
    """for the torchscript runtime: auto takes the GPU where there is one"""
    precision: PrecisionName = "float32"
    """bfloat16 with openvino, float16 with torchscript on a GPU: faster, and images differ from float32's by some grey levels"""
    threads: int | None = Field(None, gt=0, le=1024)
    """processor threads of the runtime; by default as many as the processor has, or one where more gain little"""
    workers: int = Field(1, gt=0, le=256)
    """processes that serve, for many processors; each has its share of the threads, and bounds of its own on queue and bodies"""
    max_n: int = Field(256, gt=0)
    """the most images that one request may ask for"""
    max_frames: int = Field(240, gt=1)
    """the most frames that one interpolation may have"""
    max_pixels: int = Field(2**24, gt=0)
    """the most pixels in one answer, after enlargement"""
    max_input_pixels: int = Field(2**24, gt=0)
    """the most pixels in a picture that is sent, before it is decoded"""
    queue: int = Field(2048, gt=0)
    """images that may wait or be worked on; a request that would make it more is refused with 429"""
    # Twice what 2,048 grey 32x32 images take at scale 8, the largest for a request of GAN_MAX_N, and as much as 1,300 RGB images of
    # 256x256. The process holds up to three times as much, since images are copied on their way into an answer: 690 MiB measured.
    queue_bytes: int = Field(2**28, gt=0)
    """bytes of inputs and enlarged images that may wait or be worked on; a request that would make it more is refused with 429"""
    deadline: float = Field(30.0, gt=0, allow_inf_nan=False)
    """seconds after which a request is given up with 504, and before that a body that has not come, with 408"""
    keep_alive: float = Field(75.0, gt=0, allow_inf_nan=False)
    """seconds that an idle connection is kept for the next request; longer than the load balancer before it keeps one"""
    drain: float = Field(2.0, ge=0, le=_YEAR, allow_inf_nan=False)
    """seconds between SIGTERM and closing the port, in which /readyz and new requests get 503, so that load balancers turn away"""
    watch: float = Field(2.0, ge=0, le=_YEAR, allow_inf_nan=False)
    """seconds between two looks at the folder of models for new versions, which are then served without a restart; 0: never"""
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    """keys, separated by commas; with any, everything but health and the pages needs one as Authorization: Bearer KEY"""
    api_keys_file: UserPath | None = None
    """a file with one key a line, in addition"""
    admin_keys: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    """keys, separated by commas, that open everything; with any, only these may reload models. Without, any key may"""
    admin_keys_file: UserPath | None = None
    """a file with one such key a line, in addition"""
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """origins such as https://pictures.example, by spaces or commas, whose web pages may call the service (CORS); * for all"""
    access_log: UserPath | None = None
    """a file to which a line of JSON is written for each request, without keys and latent vectors; - is standard output"""
    tracing: bool = False
    """true sends spans of requests and their stages to OpenTelemetry, as OTEL_EXPORTER_OTLP_ENDPOINT says; needs the extra otel"""
    max_body: int = Field(4 * 2**20, gt=0)
    """the largest request body in bytes; 256 latent vectors of 512 numbers need about 3 MB as JSON"""
    max_body_image: int = Field(16 * 2**20, gt=0)
    """the largest body with pictures in bytes; photographs of phones are over 4 MiB"""

    @field_validator("api_keys", "admin_keys", mode="before")
    @classmethod
    def _split_keys(cls, keys: Any) -> Any:
        if not isinstance(keys, str):
            return keys
        found = tuple(key.strip() for key in re.split("[,\r\n]", keys) if key.strip())  # by lines in a secret file
        if not found:  # such as "$A,$B" of two unset variables, which must not open the service
            raise ValueError("holds no keys: separate keys by commas, or unset it to open the service to all")
        return found

    @field_validator("fetch", mode="before")
    @classmethod
    def _split_addresses(cls, addresses: Any) -> Any:
        return tuple(addresses.split()) if isinstance(addresses, str) else addresses

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split_origins(cls, origins: Any) -> Any:
        return tuple(origin(text) for text in origins.replace(",", " ").split()) if isinstance(origins, str) else origins

    @field_validator("api_keys_file", "admin_keys_file")
    @classmethod
    def _is_readable(cls, file: Path | None) -> Path | None:
        if file is not None and not (file.is_file() and os.access(file, os.R_OK)):
            raise ValueError("there is no such file, or it cannot be read")
        return file

    def keys(self) -> tuple[SecretStr, ...]:
        """All keys, from both sources. Raises KeyFileError for a file without any, which would leave the service open."""
        return self.api_keys + _keys_in(self.api_keys_file, "GAN_API_KEYS_FILE")

    def keys_of_admins(self) -> tuple[SecretStr, ...]:
        """All keys of admins, from both sources. Raises KeyFileError for a file without any."""
        return self.admin_keys + _keys_in(self.admin_keys_file, "GAN_ADMIN_KEYS_FILE")


def misspelt(names: Iterable[str]) -> dict[str, str]:
    """Environment variables that are no settings but look like one -> the setting's name.

    Others that begin with GAN_ may be somebody else's: Kubernetes sets such for every service that is called gan.
    """
    settings = [f"GAN_{name.upper()}" for name in Settings.model_fields]
    strangers = [name for name in names if name.upper().startswith("GAN") and name.upper() not in settings]
    near = {name: get_close_matches(name.upper().replace("-", "_"), settings, n=1, cutoff=0.85) for name in strangers}
    return {name: found[0] for name, found in near.items() if found}


def _keys_in(file: Path | None, setting: str) -> tuple[SecretStr, ...]:
    if file is None:
        return ()
    try:
        lines = file.read_text("utf-8-sig").splitlines()  # with the byte order mark that Windows writes, and without
    except UnicodeDecodeError:
        raise KeyFileError(f"{setting}: {file} is not UTF-8: save it as UTF-8, one key a line") from None
    keys = tuple(SecretStr(line.strip()) for line in lines if line.strip())
    if not keys:
        raise KeyFileError(f"{setting}: {file} holds no keys: write one a line")
    return keys
