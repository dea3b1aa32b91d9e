"""What carriers of a clone say, as far as the worker acts on it: nothing of it is used that is not of this form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from services.cloner.constants import carries
from services.cloner.drivers.port import SiteConfig
from shared.contract.events import CloneOptions
from shared.wordpress.found import Path, Text


class SaidConfig(BaseModel):
    """A clone's configuration as its carrier computed it."""

    model_config = ConfigDict(extra="forbid")

    prefix: Annotated[str, Field(pattern=r"^[^\x00-\x1f`'\"\\]{0,64}$")]
    charset: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,40}$")]
    collate: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{0,64}$")]
    constants: Annotated[dict[str, bool | int | float | Annotated[str, Field(max_length=1000)]], Field(max_length=600)]
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
            constants={
                name: value for name, value in self.constants.items() if carries(name, value, options.constants)
            },
            wordpress_path=self.wordpress_path,
            content_path=self.content_path,
            source_host=self.source_host,
            allow_http=tuple(options.allow_http),
            quarantined_plugins=tuple(self.quarantined_plugins),
        )


class Needed(BaseModel):
    """Room for the clone, in bytes, and which images would be of use for it."""

    size: Annotated[int, Field(ge=0, le=1 << 60)]
    fingerprint: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Prepared(BaseModel):
    """What is needed to finish a clone."""

    config: SaidConfig
    username: Annotated[str, Field(pattern=r"^siteferry[0-9a-f-]{0,12}$")]
