"""Shapes of the REST API. What a client sends is strict (unknown fields are refused), what we send only grows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    field_validator,
    model_validator,
)
from pydantic.config import JsonDict

from services.gateway import domain
from services.gateway.either import LOGIN_OR_KEY
from services.gateway.exact import WHOLE
from shared.contract.events import CloneOptions
from shared.contract.jobs import (
    CloneAction,
    CloneState,
    ErrorInfo,
    Note,
    Phase,
    RefreshResult,
    RestoreAction,
    RestoreResult,
    Reused,
    SnapshotState,
    StateResult,
    Status,
    Stayed,
    Step,
)
from shared.contract.media import Media
from shared.contract.subjects import Kind, Lane
from shared.contract.times import Time

TTL_DEFAULT, TTL_MIN, TTL_MAX = 1440, 5, domain.TTL_MAX_MINUTES
EXAMPLE_ID = "clone-0k3v9x2m7c1p5t8w"

TtlMinutes = Annotated[int, Field(ge=TTL_MIN, le=TTL_MAX, description="Minutes the clone lives."), WHOLE]
Text = Annotated[str, StringConstraints(strip_whitespace=True)]
FILLED: JsonDict = {"pattern": r"\S"}
"""White space around a text is not counted, so the document must say that there has to be something else."""
Filled = Annotated[Text, Field(min_length=1, json_schema_extra=FILLED)]
Name = Annotated[Filled, Field(max_length=120, description="A name for people.")]
ADDRESS: JsonDict = {"format": "iri"}
SourceUrl = Annotated[
    Text,
    Field(
        max_length=2048,
        description="Address of the WordPress site, with http:// or https://.",
        json_schema_extra=ADDRESS,
    ),
]
Username = Annotated[Filled, Field(max_length=200, description="An administrator of the site.")]
Password = Annotated[SecretStr, Field(min_length=1, max_length=4096, description="That administrator's password.")]
PairingKey = Annotated[
    SecretStr,
    Field(min_length=1, max_length=4096, description="Shown by a connector installed by hand, instead of a login."),
]
LoginUrl = Annotated[
    Text,
    Field(
        min_length=1,
        max_length=2048,
        description="Where people sign in, if that is hidden: an address, or a path.",
        json_schema_extra={"format": "iri-reference"},
    ),
    AfterValidator(domain.login_place),
]
Priority = Annotated[Lane | None, Field(description="Lane of the queue; by default that of the API key, or normal.")]

TableName = Annotated[Filled, Field(max_length=128)]
FilePath = Annotated[Filled, Field(max_length=1024)]
HostName = Annotated[Filled, Field(max_length=253)]
NAMES_MOST = 100_000
"""Bytes of all names in the options of one request together."""


def bounded(*lists: Sequence[str]) -> None:
    """Raises ValueError when the names are more than one command may hold."""
    if sum(len(name.encode()) for names in lists for name in names) > NAMES_MOST:
        raise ValueError(f"names too much: all names together have at most {NAMES_MOST:,} bytes")


class Body(BaseModel):
    """Base of what clients send. Errors never show the input: it may hold a password."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class BasicAuth(Body):
    """What a web server in front of the site asks every visitor for (RFC 7617)."""

    username: Annotated[Text, Field(min_length=1, max_length=200, pattern="^[^:]*$")]
    password: SecretStr = Field(min_length=1, max_length=4096)


def doors(login_url: str | None, basic_auth: BasicAuth | None, prefix: str = "") -> dict[str, str]:
    """What the vault stores beside a login of how to get there, in clear: `login_url`, `basic_username`,
    `basic_password`."""
    found = {} if login_url is None else {f"{prefix}login_url": login_url}
    if basic_auth is not None:
        found[f"{prefix}basic_username"] = basic_auth.username
        found[f"{prefix}basic_password"] = basic_auth.password.get_secret_value()
    return found


class CloneChoices(CloneOptions):
    """What a person may choose about a clone."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    exclude_tables: list[TableName] = Field(default_factory=list, max_length=500)
    exclude_paths: list[FilePath] = Field(default_factory=list, max_length=500)
    allow_http: list[HostName] = Field(default_factory=list, max_length=100, description="Hosts the clone may call.")

    @model_validator(mode="after")
    def _bounded(self) -> CloneChoices:
        bounded(self.exclude_tables, self.exclude_paths, self.allow_http)
        return self


class WayIn(Body):
    """How to get in to a site: either an administrator's login or a pairing key."""

    username: Username | None = None
    password: Password | None = None
    pairing_key: PairingKey | None = None
    login_url: LoginUrl | None = None
    basic_auth: BasicAuth | None = Field(None, description="For a site behind a password of its web server.")

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        login = self.username is not None or self.password is not None
        if login and self.pairing_key is not None:
            raise ValueError("send either username and password, or pairing_key, not both")
        if not login and self.pairing_key is None:
            raise ValueError("send username and password, or pairing_key")
        if login and (self.username is None or self.password is None):
            raise ValueError("username and password belong together: one of them is missing")
        return self

    def credentials(self) -> dict[str, Any]:
        """What the vault stores, in clear: `{username, password}` or `{pairing_key}`, and the `doors` before it."""
        more = doors(self.login_url, self.basic_auth)
        if self.pairing_key is not None:
            return {"pairing_key": self.pairing_key.get_secret_value(), **more}
        assert self.password is not None
        return {"username": self.username, "password": self.password.get_secret_value(), **more}


class CloneRequest(WayIn):
    """The wish to clone a site: its address, and either an administrator's login or a pairing key."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "source_url": "https://shop.example.com",
                    "username": "admin",
                    "password": "correct horse battery staple",
                    "ttl_minutes": 1440,
                    "name": "Shop before the update",
                },
                {"source_url": "https://shop.example.com", "pairing_key": "sf1_…", "priority": "high"},
            ],
            **LOGIN_OR_KEY,
        }
    )

    source_url: SourceUrl
    ttl_minutes: TtlMinutes = TTL_DEFAULT
    name: Name | None = None
    priority: Priority = None
    options: CloneChoices = Field(default_factory=CloneChoices)

    @field_validator("source_url")
    @classmethod
    def _site(cls, value: str) -> str:
        return domain.normalise_source(value)

    @model_validator(mode="after")
    def _media_can_stay(self) -> Self:
        if self.basic_auth is not None and self.options.media is Media.REMOTE:
            raise ValueError(
                "options.media can not be remote for a site with basic_auth: no clone keeps that password. Leave it "
                "out, so that the media are copied"
            )
        return self


class Links(BaseModel):
    """Where to go from here."""

    self: str
    events: str
    cancel: str


class Accepted(BaseModel):
    """A job was accepted: stored, and waiting for a worker."""

    model_config = ConfigDict(json_schema_extra={"examples": [
        {
            "job_id": EXAMPLE_ID,
            "status": "pending",
            "status_url": f"/jobs/{EXAMPLE_ID}",
            "links": {
                "self": f"/jobs/{EXAMPLE_ID}",
                "events": f"/jobs/{EXAMPLE_ID}/events",
                "cancel": f"/jobs/{EXAMPLE_ID}/cancel",
            },
        }
    ]})  # fmt: skip

    job_id: str
    status: Status
    status_url: str
    links: Links


class Result(BaseModel):
    """What a completed clone gave. Once the clone is deleted, `state` says so and the login is gone."""

    clone_id: str
    clone_url: str
    admin_url: str
    username: str
    password: str | None = Field(description="Null when the clone is gone.")
    expires_at: Time | None = Field(description="Null: lives until deleted.")
    state: CloneState
    deleted_at: Time | None = None
    files: int = 0
    bytes: int = 0
    tables: int = 0
    rows: int = 0
    rewritten: dict[str, int] = Field(default_factory=dict, description="Addresses rewritten, by kind of spelling.")
    rewritten_columns: dict[str, int] = Field(default_factory=dict, description="Values rewritten, by `table.column`.")
    leftovers: int = Field(0, description="Mentions of the source's address that were left in the clone.")
    first_ids: dict[str, int] = Field(
        default_factory=dict,
        description="Where the ids of new rows begin, by table, where that is further on than on the source.",
    )
    reused: Reused | None = Field(
        None, description="What an earlier clone's image of the source gave, and what travelled; null: everything did."
    )
    media: Literal["copy", "remote"] = Field(
        "copy",
        description="`remote`: pictures and documents stayed on the source, and are fetched when first asked for.",
    )
    media_stayed: Stayed | None = Field(None, description="How many files and bytes stayed there; null: none.")
    notes: list[Note] = Field(default_factory=list)
    timings: dict[str, float] = Field(default_factory=dict, description="Seconds, by phase.")


class RestoreOutcome(RestoreResult):
    """What a completed restore, dry run or roll-back gave."""

    snapshot_state: SnapshotState | None = Field(None, description="What has become of the way back it left.")


class JobSummary(BaseModel):
    """A job in a list."""

    job_id: str
    type: Kind
    status: Status
    phase: Phase | None = Field(description="Why a pending or running job does not simply run.")
    reason: str | None = Field(None, description="What a waiting job waits for: limit:…, quota, or part_away:….")
    progress: float = Field(ge=0, le=100)
    step: str | None
    message: str
    name: str | None
    source_url: str
    target_url: str = Field(description="Where a restore goes; of a refresh, the clone; else empty.")
    action: RestoreAction | CloneAction | None = Field(
        description="What a restore does: restore, rollback or discard; or what is done to a clone: reset, "
        "keep, fork or refresh."
    )
    priority: Lane
    attempt: int
    batch_id: str | None
    schedule_id: str | None = Field(None, description="The schedule that had it made.")
    created_at: Time
    started_at: Time | None
    updated_at: Time
    finished_at: Time | None
    error: ErrorInfo | None = Field(description="Why it failed, and what to do.")
    clone_state: CloneState | None = Field(None, description="What has become of the clone it made.")
    n: int = Field(description="Number of events so far.")
    seq: int = Field(description="Stream sequence of the last event: of two answers the one with the higher is newer.")


class JobAnswer(JobSummary):
    """A job with its steps, and its result or error."""

    steps: list[Step]
    result: Result | RestoreOutcome | StateResult | RefreshResult | None
    links: Links


class JobPage(BaseModel):
    """Jobs, newest first."""

    jobs: list[JobSummary]
    next_cursor: str | None = Field(description="Send as `cursor` to get the next page; null on the last one.")
    total: int | None = Field(None, description="With `count`: how many there are with these filters.")
    counts: dict[Status, int] | None = Field(
        None, description="With `count`: how many in each status, whatever `status` was asked for."
    )


class CloneSummary(BaseModel):
    """A clone in a list."""

    clone_id: str
    job_id: str
    name: str | None
    source_url: str
    clone_url: str
    admin_url: str
    username: str
    state: CloneState
    created_at: Time
    expires_at: Time | None
    deleted_at: Time | None
    reason: str | None = Field(description="Why it is gone: expired or deleted.")
    seq: int = Field(description="Stream sequence of the last event that changed it.")


class CloneAnswer(CloneSummary):
    """A clone with its login."""

    password: str | None = Field(description="Null when the clone is gone.")


class ClonePage(BaseModel):
    """Clones, newest first."""

    clones: list[CloneSummary]
    next_cursor: str | None
    total: int | None = Field(None, description="With `count`: how many there are with these filters.")
    counts: dict[CloneState, int] | None = Field(
        None, description="With `count`: how many in each state, whatever `state` was asked for."
    )


class StoryMessage(BaseModel):
    """One message of a job's story, as the stream holds it."""

    seq: int
    time: Time
    type: str
    subject: str
    headers: dict[str, str]
    data: dict[str, Any] = Field(description="The payload, without sealed secrets.")


class Story(BaseModel):
    """Everything the stream holds about a job, oldest first."""

    job_id: str
    stream: str
    messages: list[StoryMessage]


class ProblemAnswer(BaseModel):
    """RFC 9457 problem details."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:siteferry:problem:job_not_found",
                    "title": "Not Found",
                    "status": 404,
                    "detail": "There is no such job.",
                    "instance": f"/jobs/{EXAMPLE_ID}",
                    "code": "job_not_found",
                    "hint": "GET /jobs lists the jobs.",
                    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
                }
            ]
        }
    )

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    hint: str
    trace_id: str
    errors: list[dict[Literal["field", "message"], str]] | None = None
