"""Commands about webhooks: `webhooks add`, `list`, `remove`, `deliveries`, `test`."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer
from rich.text import Text

from siteferry.cli import render
from siteferry.cli.client import Api, CliError, Exit
from siteferry.cli.context import api_of

app = typer.Typer(
    help="Be told by HTTP when jobs end.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
JsonFlag = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]
WebhookArgument = Annotated[str, typer.Argument(metavar="WEBHOOK", help="Its id.", show_default=False)]

TEST_WITHIN = 20.0
"""Seconds a test message may take; one attempt takes ten at most."""
LOOK_EVERY = 0.3
COLOURS = {"delivered": "green", "retrying": "yellow", "failed": "red"}


@app.command()
def add(
    context: typer.Context,
    url: Annotated[str, typer.Argument(help="Where to send POST requests.", show_default=False)],
    event: Annotated[
        list[str] | None, typer.Option("--event", "-e", help="Like clone.completed. Repeatable; default: all.")
    ] = None,
    description: Annotated[str, typer.Option(help="A note for people.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Register a webhook. Prints the secret that signs its messages; it is not shown again.

    \b
    siteferry webhooks add https://hooks.example.com/siteferry -e clone.completed -e clone.failed
    """
    made = api_of(context).post("/webhooks", {"url": url, "events": event or [], "description": description})
    if as_json:
        return render.print_json(made)
    render.pairs([("Webhook", made["id"]), ("Secret", made["secret"])])
    return render.say(f"Keep the secret: it is not shown again. Try it with: siteferry webhooks test {made['id']}")


@app.command("list")
def list_(context: typer.Context, as_json: JsonFlag = False) -> None:
    """List webhooks.

    \b
    siteferry webhooks list
    """
    found = api_of(context).get("/webhooks")
    if as_json:
        return render.print_json(found)
    if not found["webhooks"]:
        return render.say("No webhooks yet. Add one with: siteferry webhooks add URL")
    rows: list[list[str | Text]] = [
        [hook["id"], hook["disabled"] or "active", ", ".join(hook["events"]) or "all", hook["url"]]
        for hook in found["webhooks"]
    ]
    return render.table(["WEBHOOK", "STATE", "EVENTS", "URL"], rows)


@app.command()
def remove(context: typer.Context, webhook: WebhookArgument) -> None:
    """Remove a webhook. What waits for it is dropped.

    \b
    siteferry webhooks remove WEBHOOK
    """
    api_of(context).request("DELETE", f"/webhooks/{webhook}")
    render.say(f"{webhook} is removed.")


@app.command()
def deliveries(context: typer.Context, webhook: WebhookArgument, as_json: JsonFlag = False) -> None:
    """List what was sent, newest first, with what came of the last attempt.

    \b
    siteferry webhooks deliveries WEBHOOK
    """
    found = api_of(context).get(f"/webhooks/{webhook}/deliveries")
    if as_json:
        return render.print_json(found)
    if not found["deliveries"]:
        return render.say("Nothing was sent yet.")
    rows = [_row(one) for one in found["deliveries"]]
    return render.table(["SENT", "STATE", "TRIES", "ANSWER", "EVENT", "JOB"], rows)


@app.command("test")
def try_(context: typer.Context, webhook: WebhookArgument, as_json: JsonFlag = False) -> None:
    """Send a test message and say what came of it. Exit code 1 when it was not taken.

    \b
    siteferry webhooks test WEBHOOK
    """
    api = api_of(context)
    found = _outcome(api, webhook, api.post(f"/webhooks/{webhook}/test")["id"])
    if as_json:
        render.print_json(found)
    else:
        last = found["attempts"][0]
        taken = found["state"] == "delivered"
        render.say(f"Taken, in {last['duration_ms']} ms." if taken else f"Not taken: {last['error'].rstrip('.')}.")
    raise typer.Exit(Exit.OK if found["state"] == "delivered" else Exit.FAILED)


def _outcome(api: Api, webhook: str, message: str) -> dict[str, Any]:
    deadline = time.monotonic() + TEST_WITHIN
    while time.monotonic() < deadline:
        for found in api.get(f"/webhooks/{webhook}/deliveries")["deliveries"]:
            if found["id"] == message:
                result: dict[str, Any] = found
                return result
        time.sleep(LOOK_EVERY)
    hint = f"Look again with: siteferry webhooks deliveries {webhook}"
    raise CliError("The message was not sent in time.", hint=hint, code=Exit.TIMEOUT)


def _row(delivery: dict[str, Any]) -> list[str | Text]:
    last = delivery["attempts"][0]
    return [
        render.ago(last["at"]),
        Text(delivery["state"], style=COLOURS[delivery["state"]]),
        str(last["attempt"]),
        str(last["status_code"] or last["error"]),
        delivery["type"],
        delivery["job_id"] or "",
    ]
