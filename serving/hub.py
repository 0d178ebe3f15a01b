"""Model folders on the Hugging Face Hub: where their files are, and what the client of the Hub knows of a machine.

The client (huggingface_hub, the extra `hub`) is imported when an address of the Hub is first asked for.
"""

import re
from typing import Any
from urllib.parse import unquote

from gan.errors import ModelFolderError

PROTOCOL = "hf://"
INSTALL = "pip install huggingface_hub"
REMEDY = "is the address right, and can it be reached from here? One that is private needs HF_TOKEN, of somebody who may read it"

# As huggingface_hub writes them: a revision with a slash is one of refs/, or has %2F in its place.
_FILE = re.compile(
    r"hf://(?P<repository>[\w.-]+/[\w.-]+)(?:@(?P<revision>refs/(?:convert|pr)/[^/\s]+|[^/\s]+))?/(?P<file>\S+)", re.ASCII
)


def locate(address: str) -> tuple[str, dict[str, str]]:
    """Where a file hf://owner/name@revision/file is: its web address and the headers to ask for it with.

    HF_ENDPOINT names another server than huggingface.co, HF_TOKEN (or `hf auth login`) whose models may be read, and with
    HF_HUB_OFFLINE=1 it is a path in the cache of the client (HF_HOME). Raises ModelFolderError.
    """
    match = _FILE.fullmatch(address)
    if match is None:
        raise ModelFolderError(f"GAN_FETCH: {address} is none of the Hub: write hf://owner/name@revision")
    place: dict[str, Any] = {"repo_id": match["repository"], "filename": match["file"]}
    place["revision"] = unquote(match["revision"] or "main")
    try:
        from huggingface_hub import constants, get_token, hf_hub_download, hf_hub_url
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
    except ImportError as error:
        raise ModelFolderError(
            f"GAN_FETCH: {address} needs huggingface_hub, which is not installed here ({error}): {INSTALL}"
        ) from error
    try:
        if constants.HF_HUB_OFFLINE:
            return hf_hub_download(**place, local_files_only=True), {}
        token = get_token()
        return hf_hub_url(**place), {} if token is None else {"Authorization": f"Bearer {token}"}
    except HFValidationError as error:
        raise ModelFolderError(f"GAN_FETCH: {address} is none of the Hub ({error}): write hf://owner/name@revision") from error
    except LocalEntryNotFoundError as error:
        raise ModelFolderError(
            f"{address} is not in the cache of the Hub's client, {constants.HF_HUB_CACHE}, and HF_HUB_OFFLINE is set: unset it, or "
            f"download it there before (hf download {match['repository']} --revision {place['revision']})"
        ) from error
