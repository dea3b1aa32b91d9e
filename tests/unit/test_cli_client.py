"""Where the command line looks for the gateway, and what answers mean for its exit code."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from siteferry.cli.client import CliError, Exit, Target, as_error, find_target
from siteferry.embedded.instance import Instance, exclusive


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SITEFERRY_URL", raising=False)
    monkeypatch.delenv("SITEFERRY_API_KEY", raising=False)


def instance() -> Instance:
    return Instance(
        pid=1,
        edge_url="http://localhost:18080",
        nats_url="nats://127.0.0.1:4222",
        nats_token_file="/nowhere/token",
        nats_operator_file="/nowhere/operator",
        mariadb_socket="/nowhere/socket",
    )


def test_flag_beats_environment_beats_running_instance_beats_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_target(None, None, tmp_path) == Target("http://localhost:8080", None)
    with exclusive(tmp_path):
        instance().write(tmp_path)
        assert find_target(None, None, tmp_path).url == "http://localhost:18080"
        monkeypatch.setenv("SITEFERRY_URL", "https://env.example/")
        monkeypatch.setenv("SITEFERRY_API_KEY", "from-env")
        assert find_target(None, None, tmp_path) == Target("https://env.example", "from-env")
        assert find_target("http://flag.example", "from-flag", tmp_path) == Target("http://flag.example", "from-flag")


def test_this_machines_first_key_is_used_where_one_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, here = tmp_path / "first-key", instance()
    here.first_key_file = str(file)
    with exclusive(tmp_path):
        here.write(tmp_path)
        assert find_target(None, None, tmp_path, first_key=True).api_key is None, "it is not there"
        file.write_text("sfk_first\n")
        assert find_target(None, None, tmp_path).api_key is None, "none is needed"
        assert find_target(None, None, tmp_path, first_key=True).api_key == "sfk_first"
        here.keys_needed = True
        here.write(tmp_path)
        assert find_target(None, None, tmp_path).api_key == "sfk_first"
        assert find_target(f"{here.edge_url}/", None, tmp_path).api_key == "sfk_first"
        assert find_target(None, "own", tmp_path).api_key == "own"
        assert find_target("http://elsewhere.example", None, tmp_path).api_key is None, "it is for this machine only"
        monkeypatch.setenv("SITEFERRY_API_KEY", "from-env")
        assert find_target(None, None, tmp_path).api_key == "from-env"


def test_instance_that_was_killed_counts_for_nothing(tmp_path: Path) -> None:
    with exclusive(tmp_path):
        instance().write(tmp_path)
    assert find_target(None, None, tmp_path).url == "http://localhost:8080"


def test_address_without_scheme_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(CliError) as caught:
        find_target("localhost:8080", None, tmp_path)
    assert caught.value.code is Exit.USAGE


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, Exit.USAGE),
        (422, Exit.USAGE),
        (401, Exit.UNREACHABLE),
        (403, Exit.FAILED),
        (404, Exit.FAILED),
        (409, Exit.FAILED),
        (429, Exit.UNREACHABLE),
        (500, Exit.FAILED),
        (503, Exit.UNREACHABLE),
    ],
)
def test_problem_becomes_message_hint_and_exit_code(status: int, code: Exit) -> None:
    error = as_error(httpx2.Response(status, json={"detail": "It is so.", "hint": "Do this."}))
    assert (error.message, error.code) == ("It is so.", code)
    assert error.hint


@pytest.mark.parametrize("body", [b"<html>Bad gateway</html>", b"[1]", b""])
def test_answer_of_something_else_is_still_a_sentence(body: bytes) -> None:
    error = as_error(httpx2.Response(502, content=body))
    assert error.message == "The service answered 502 Bad Gateway."
    assert error.code is Exit.UNREACHABLE
