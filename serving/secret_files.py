"""Secret files as a source of settings: Docker, Podman and Compose mount them, and call each by a setting's name."""

from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from gan.errors import GanServiceError


class SecretFileError(GanServiceError):
    """A secret that cannot be read. Passed over, one of keys would leave the service open."""


class SecretFiles(PydanticBaseSettingsSource):
    """Values of settings from the files in a folder, which need not be there, by names in capitals or not."""

    def __init__(self, settings: type[BaseSettings], folder: Path) -> None:
        super().__init__(settings)
        self._folder = folder

    def __call__(self) -> dict[str, Any]:
        """The texts by field. Raises SecretFileError for a folder or one of its files that cannot be read."""
        prefix = str(self.config["env_prefix"]).lower()
        fields = {f"{prefix}{field}": field for field in self.settings_cls.model_fields}
        return {fields[path.name.lower()]: _text(path) for path in self._files() if path.name.lower() in fields}

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Not called: `__call__` has all values."""
        raise NotImplementedError

    def _files(self) -> list[Path]:
        try:
            return sorted(self._folder.iterdir())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise SecretFileError(
                f"cannot look for secrets in {self._folder} ({error.strerror}): let the user that runs the service read it"
            ) from error


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig").strip()
    except IsADirectoryError as error:
        raise SecretFileError(
            f"{path} is a folder, as container engines make one where the file to mount is missing: put the file there"
        ) from error
    except OSError as error:
        raise SecretFileError(
            f"cannot read {path} ({error.strerror}): see that it is there, and that the user that runs the service may read it"
        ) from error
    except UnicodeDecodeError as error:
        raise SecretFileError(f"{path} is not UTF-8: save it as UTF-8") from error
