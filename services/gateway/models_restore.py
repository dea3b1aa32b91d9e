"""Shapes of the calls about restores and the ways back they leave."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.config import JsonDict

from services.gateway import domain
from services.gateway.either import CLONE_OR_SITE
from services.gateway.exact import WHOLE, Switch
from services.gateway.models import (
    BasicAuth,
    Body,
    FilePath,
    LoginUrl,
    Name,
    Password,
    Priority,
    SourceUrl,
    TableName,
    Text,
    Username,
    bounded,
    doors,
)
from shared.contract.events import RestoreOptions
from shared.contract.jobs import SnapshotState
from shared.contract.times import Time

HOURS_MAX = 160
"""The login a snapshot is discarded with is kept for seven days."""
LOGIN_EXAMPLE: JsonDict = {"target_username": "admin", "target_password": "correct horse battery staple"}


class TargetLogin(Body):
    """An administrator's login at the site that is changed."""

    target_username: Username
    target_password: Password
    target_login_url: LoginUrl | None = None
    target_basic_auth: BasicAuth | None = Field(None, description="If its web server asks for a password of its own.")

    def target_login(self) -> dict[str, Any]:
        """What the vault stores of it, in clear."""
        return {
            "target_username": self.target_username,
            "target_password": self.target_password.get_secret_value(),
            **doors(self.target_login_url, self.target_basic_auth, "target_"),
        }


class RestoreChoices(RestoreOptions):
    """What a person may choose about a restore. Tables are named with or without the target's prefix."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    preserve_tables: list[TableName] = Field(default_factory=list, max_length=500)
    include_tables: list[TableName] = Field(
        default_factory=list, max_length=500, description="Only these tables are restored; empty: all."
    )
    exclude_paths: list[FilePath] = Field(
        default_factory=list, max_length=500, description="Folders and files below wp-content that stay as they are."
    )
    include_paths: list[FilePath] = Field(
        default_factory=list, max_length=500, description="Only these below wp-content are restored; empty: all."
    )

    @model_validator(mode="after")
    def _bounded(self) -> RestoreChoices:
        bounded(self.preserve_tables, self.include_tables, self.exclude_paths, self.include_paths)
        return self


class RestoreRequest(TargetLogin):
    """The wish to bring a clone, or any other WordPress site, to a target: what `production` is called below."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "clone_id": "clone-0k3v9x2m7c1p5t8w",
                    "target_url": "https://shop.example.com",
                    "target_username": "admin",
                    "target_password": "correct horse battery staple",
                    "dry_run": True,
                },
                {
                    "source_url": "https://staging.example.com",
                    "source_username": "editor",
                    "source_password": "another battery",
                    "target_url": "https://shop.example.com",
                    "target_username": "admin",
                    "target_password": "correct horse battery staple",
                    "preserve_themes": True,
                    "options": {"include_tables": ["posts", "postmeta"]},
                },
            ],
            **CLONE_OR_SITE,
        }
    )

    clone_id: Text | None = Field(None, description="What is restored: a clone of yours; its login is known.")
    source_url: SourceUrl | None = Field(None, description="What is restored: any WordPress site, with its login.")
    source_username: Username | None = None
    source_password: Password | None = None
    source_login_url: LoginUrl | None = None
    source_basic_auth: BasicAuth | None = None
    target_url: SourceUrl
    preserve_plugins: Switch = Field(
        True, description="Production's plugins stay as they are: files and which are active."
    )
    preserve_themes: Switch = Field(
        False, description="Production's themes stay as they are: files and which is active."
    )
    dry_run: Switch = Field(False, description="Only say what would change; nothing is written.")
    accept_loss: Switch = Field(
        False, description="Restore although production has orders, comments, posts or entries that would go."
    )
    mode: Literal["overwrite"] = "overwrite"
    snapshot_hours: Annotated[int, Field(ge=1, le=HOURS_MAX), WHOLE] = Field(
        72, description="Hours the way back is kept."
    )
    name: Name | None = None
    priority: Priority = None
    options: RestoreChoices = Field(default_factory=RestoreChoices)

    @field_validator("source_url", "target_url")
    @classmethod
    def _site(cls, value: str | None) -> str | None:
        return None if value is None else domain.normalise_source(value)

    @model_validator(mode="after")
    def _one_source(self) -> RestoreRequest:
        if (self.clone_id is None) == (self.source_url is None):
            raise ValueError("send either clone_id or source_url")
        login = (self.source_username, self.source_password)
        if self.clone_id is not None and (*login, self.source_login_url, self.source_basic_auth) != (None,) * 4:
            raise ValueError("a clone's login is known: send no source_username and source_password with clone_id")
        if self.source_url is not None and None in login:
            raise ValueError("source_url needs source_username and source_password")
        if self.source_url is not None and domain.same_site(self.source_url, self.target_url):
            raise ValueError("source_url and target_url are the same site")
        return self

    def source_login(self) -> dict[str, Any]:
        """What the vault stores of the source's login, in clear; empty for a clone."""
        if self.source_password is None:
            return {}
        return {
            "source_username": self.source_username,
            "source_password": self.source_password.get_secret_value(),
            **doors(self.source_login_url, self.source_basic_auth, "source_"),
        }

    def choices(self) -> RestoreOptions:
        """The options, with what may also be said beside them. What is said in both places: `options` wins."""
        said = self.options.model_fields_set
        beside = {name: getattr(self, name) for name in ("preserve_plugins", "preserve_themes") if name not in said}
        return self.options.model_copy(update=beside)


class RollbackRequest(TargetLogin):
    """The wish to have a target back as it was before a restore."""

    model_config = ConfigDict(json_schema_extra={"examples": [LOGIN_EXAMPLE]})

    name: Name | None = None
    priority: Priority = None


class DiscardRequest(TargetLogin):
    """The wish to remove a way back from its target."""

    model_config = ConfigDict(json_schema_extra={"examples": [LOGIN_EXAMPLE]})

    priority: Priority = None


class SnapshotLinks(BaseModel):
    """Where to go from here."""

    self: str
    job: str
    rollback: str
    discard: str


class SnapshotAnswer(BaseModel):
    """A target as it was before one restore. It is kept on the target itself."""

    snapshot_id: str = Field(description="The id of the restore that made it.")
    target_url: str
    source_url: str = Field(description="What was restored.")
    state: SnapshotState
    created_at: Time
    expires_at: Time | None = Field(description="When it is discarded by itself.")
    ended_at: Time | None = Field(description="When it was used or discarded.")
    tables: int
    files: int
    bytes: int
    links: SnapshotLinks


class SnapshotPage(BaseModel):
    """Snapshots, newest first."""

    snapshots: list[SnapshotAnswer]
    next_cursor: str | None
