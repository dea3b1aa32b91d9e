"""What carriers of a clone say, as far as the worker acts on it: nothing of it is used that is not of this form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from services.cloner.domain import CONSTANTS
from services.cloner.drivers.port import SiteConfig
from shared.contract.events import CloneOptions
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


class SaidConfig(BaseModel):
    """A clone's configuration as its carrier computed it."""

    model_config = ConfigDict(extra="forbid")

    prefix: Annotated[str, Field(pattern=r"^[^\x00-\x1f`'\"\\]{0,64}$")]
    charset: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,40}$")]
    collate: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{0,64}$")]
    constants: dict[str, bool | int | float | Annotated[str, Field(max_length=1000)]]
    wordpress_path: Path
    content_path: Path | None
    source_host: Text
    allow_http: Sequence[str] = ()
    quarantined_plugins: list[Annotated[str, Field(max_length=300)]] = Field(default_factory=list, max_length=2000)

    def checked(self, options: CloneOptions) -> SiteConfig:
        """The same with what is the worker's to say: hosts the clone may call are those that were asked for."""
        return SiteConfig(
            prefix=self.prefix,
            charset=self.charset,
            collate=self.collate,
            constants={name: value for name, value in self.constants.items() if name in CONSTANTS},
            wordpress_path=self.wordpress_path,
            content_path=self.content_path,
            source_host=self.source_host,
            allow_http=tuple(options.allow_http),
            quarantined_plugins=tuple(self.quarantined_plugins),
        )


class Prepared(BaseModel):
    """What is needed to finish a clone."""

    config: SaidConfig
    username: Annotated[str, Field(pattern=r"^siteferry[0-9a-f-]{0,12}$")]


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
