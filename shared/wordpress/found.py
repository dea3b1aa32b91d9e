"""What a carrier says of a site, as far as a worker acts on it: nothing is used that is not of these forms."""

from __future__ import annotations

from typing import Annotated, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from shared.wordpress.errors import ImplausibleSite
from shared.wordpress.paths import relative

Model = TypeVar("Model", bound=BaseModel)
LONGEST = 2048


def _text(text: str) -> str:
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise ValueError("control characters")
    return text


def _address(text: str) -> str:
    parts = urlsplit(_text(text))
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("not an address")
    return text


def _path(text: str) -> str:
    relative(_text(text).encode())
    return text


Text = Annotated[str, Field(max_length=200), AfterValidator(_text)]
Address = Annotated[str, Field(max_length=LONGEST), AfterValidator(_address)]
Path = Annotated[str, Field(max_length=LONGEST), AfterValidator(_path)]


class Found(BaseModel):
    """Where the source is, from the job's memory."""

    model_config = ConfigDict(extra="ignore")

    home: Address
    siteurl: Address


def believed(model: type[Model], said: object) -> Model:
    """What a carrier said, if it is of that form. Raises ImplausibleSite, which names the fields that are not."""
    try:
        return model.model_validate(said)
    except ValidationError as error:
        fields = sorted({".".join(map(str, problem["loc"])) for problem in error.errors(include_input=False)})
        raise ImplausibleSite(f"The site's {', '.join(fields)[:200]} can not be right.", fields=fields[:20]) from error


def source_key(found: Found, asked: str) -> str:
    """Under which name jobs share the connector of a source.

    A site that says it is somewhere else than where we were sent shares with jobs sent to the same place only: else it
    could name another site, and be handed the key of that site's connector.
    """
    if _host(found.home) == _host(asked):
        return found.home
    return f"{found.home} for {_host(asked)}"


def _host(address: str) -> str:
    return (urlsplit(address).netloc.rpartition("@")[2]).lower().removeprefix("www.")
