"""What carriers of a clone say, as far as the worker acts on it: nothing of it is used that is not of this form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from services.cloner.constants import carries
from services.cloner.drivers.port import SiteConfig
from services.cloner.media import Origin, same_server
from shared.contract.events import CloneOptions
from shared.contract.media import Media
from shared.wordpress.errors import ImplausibleSite
from shared.wordpress.found import Found, Path, Text


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
    media: Origin | None = None

    def checked(self, options: CloneOptions, site: Found) -> SiteConfig:
        """The same with what is the worker's to say: hosts the clone may call are those that were asked for, and media
        come from the source's own server only. Raises ImplausibleSite."""
        media = self.media if options.media is Media.REMOTE else None
        if media and not all(same_server(place, (site.home, site.siteurl)) for place in (media.source, media.page)):
            raise ImplausibleSite("The site's uploads can not be on another server than the site.")
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
            media=None if media is None else media.model_dump(),
        )


class Needed(BaseModel):
    """Room for the clone, in bytes, and which images would be of use for it."""

    size: Annotated[int, Field(ge=0, le=1 << 60)]
    fingerprint: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Prepared(BaseModel):
    """What is needed to finish a clone."""

    config: SaidConfig
    username: Annotated[str, Field(pattern=r"^siteferry[0-9a-f-]{0,12}$")]
