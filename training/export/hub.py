"""Publishing: a model folder as a repository of the Hugging Face Hub, through its client (huggingface_hub, the extra `hub`)."""

import hashlib
import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gan.manifest import MANIFEST
from gan.manifest_parts import Trained
from gan.model_folder import CARD, SAMPLES, ModelFolder
from training.errors import HubError, UsageError
from training.export.hub_card import with_header

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

_MAIN = "main"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Publication:
    """What is to be published, checked before a byte is sent."""

    folder: ModelFolder
    repository: str  # owner/name
    revision: str  # the branch
    private: bool
    manifest: bytes  # model.json
    card: str  # README.md with the Hub's header

    @classmethod
    def prepare(cls, folder: ModelFolder, address: str, revision: str, private: bool, licence: str | None) -> "Publication":
        """Check the address and write the card; the folder's files were compared with their digests. Raises UsageError."""
        match = re.fullmatch(r"hf://([\w.-]+/[\w.-]+)/?", address, re.ASCII)
        if match is None:
            raise UsageError(f"{address}: write hf://owner/name, and a branch by --revision")
        try:
            card = (folder.path / CARD).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise UsageError(f"cannot read {folder.path / CARD} ({error}), the model's card: write one") from error
        text = (folder.path / MANIFEST).read_bytes()
        card = f"{card.rstrip()}\n\nA gan-service with huggingface_hub serves it by\n\n    {_setting(match[1], revision, text)}\n"
        return cls(folder, match[1], revision, private, text, with_header(card, folder.manifest, licence))

    @property
    def files(self) -> list[str]:
        """The names of what is sent as it is in the folder: what the manifest lists, and the sample grid."""
        return [*self.folder.manifest.files, *([SAMPLES] if (self.folder.path / SAMPLES).is_file() else [])]

    def setting(self, revision: str) -> str:
        """The setting by which a service fetches what is published at a revision."""
        return _setting(self.repository, revision, self.manifest)

    def describe(self) -> str:
        """Say what will be sent, and to where."""
        head = f"{self.folder.title} as hf://{self.repository}@{self.revision}{', private' if self.private else ''}"
        sizes = {MANIFEST: len(self.manifest), CARD: len(self.card.encode())}
        sizes |= {name: (self.folder.path / name).stat().st_size for name in self.files}
        rows = "\n".join(f"  {name:<32}{size:>14,} bytes" for name, size in sizes.items())
        origin = self.folder.manifest.origin
        data = f", among it where the images were ({origin.config.get('data')})" if isinstance(origin, Trained) else ""
        return (
            f"{head}:\n{rows}\n{MANIFEST} has the whole configuration of the training{data}: whoever may read the model may read it"
        )


def upload(publication: Publication) -> str:
    """Send it all in one commit, into a repository that is made if there is none; returns the commit.

    The client's settings hold: HF_TOKEN (or `hf auth login`), HF_ENDPOINT. Raises UsageError and HubError.
    """
    try:
        from httpx2 import HTTPError
        from huggingface_hub import CommitOperationAdd, HfApi, get_token
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    except ImportError as error:
        raise UsageError(
            f"training.publish needs huggingface_hub 2 or newer, which is not installed here ({error}): install the extra 'hub' "
            "(pip install 'huggingface_hub>=2')"
        ) from error
    if get_token() is None:
        raise UsageError(
            "there is no token for the Hub: set HF_TOKEN to one that may write (https://huggingface.co/settings/tokens), or run "
            "`hf auth login`"
        )
    path, api = publication.folder.path, HfApi()

    def unreachable(reason: BaseException | None) -> str:
        said = f"{type(reason).__name__}: {' '.join(str(reason).split())}"
        return f"cannot reach {api.endpoint} ({said}): see that the network and HF_ENDPOINT are right, and publish again"

    try:
        _make_repository(api, publication)
        operations = [
            CommitOperationAdd(MANIFEST, publication.manifest),
            CommitOperationAdd(CARD, publication.card.encode()),
            *(CommitOperationAdd(name, path / name) for name in publication.files),
        ]
        _log.info(f"sending {len(operations)} files to {api.endpoint}/{publication.repository}")
        commit = api.create_commit(
            publication.repository, operations, commit_message=publication.folder.title, revision=publication.revision
        )
    except HFValidationError as error:
        raise UsageError(f"hf://{publication.repository}: {error}") from error
    except (HfHubHTTPError, RuntimeError) as error:  # a file that fails is a RuntimeError, whose cause says why
        reason = error.__cause__ if isinstance(error, RuntimeError) else error
        raise HubError(_explain(reason, publication) if isinstance(reason, HfHubHTTPError) else unreachable(reason)) from error
    except ValueError as error:  # of the client, for a header that the Hub refuses
        raise HubError(
            f"the Hub refuses the card ({' '.join(str(error).split())}): give another --licence, or correct {CARD}"
        ) from error
    except (HTTPError, OSError) as error:
        raise HubError(unreachable(error)) from error
    return commit.oid


def _setting(repository: str, revision: str, manifest: bytes) -> str:
    """The digest is that of model.json, which has those of all other files."""
    return f"GAN_FETCH=hf://{repository}@{revision.replace('/', '%2F')}#sha256={hashlib.sha256(manifest).hexdigest()}"


def _make_repository(api: "HfApi", publication: Publication) -> None:
    """Make repository and branch, if they are missing. Raises UsageError, and what the client raises."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        found = api.model_info(publication.repository)
    except GatedRepoError:
        raise
    except RepositoryNotFoundError:
        api.create_repo(publication.repository, private=publication.private or None)
    else:
        if publication.private and not found.private:
            raise UsageError(
                f"--private: hf://{publication.repository} exists and is public: make it private in its settings on the Hub, or "
                "leave --private out"
            )
    if publication.revision != _MAIN and not publication.revision.startswith("refs/"):
        api.create_branch(publication.repository, branch=publication.revision, exist_ok=True)


def _explain(error: "HfHubHTTPError", publication: Publication) -> str:
    """A sentence for an answer of the Hub, with the remedy."""
    status, repository = error.response.status_code, publication.repository
    said = error.server_message or f"HTTP status {status}"
    remedies = {
        401: "the token is not valid: set HF_TOKEN to one of https://huggingface.co/settings/tokens that may write",
        403: f"the token may not write there: take one that may write, of somebody who belongs to {repository.split('/')[0]}",
        404: "there is no such repository, branch or owner, or the token may not see it",
    }
    return f"the Hub does not take hf://{repository}@{publication.revision} ({said}): {remedies.get(status, 'try again later')}"
