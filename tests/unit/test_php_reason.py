"""Of PHP's words about a clone that does not start, the reason is told, however long the paths around it."""

from __future__ import annotations

from siteferry.embedded.cells.agents import reason

PATH = "/srv/" + "a-long-name/" * 30 + "wp-includes/version.php"


def test_the_reason_stands_before_the_way_there() -> None:
    words = (
        f"PHP Fatal error:  Uncaught Exception: planks are missing in {PATH}:1\nStack trace:\n#0 {PATH}(9): require()"
    )
    assert "planks are missing" in reason(words)
    assert len(reason(words)) <= 500


def test_the_last_words_count_where_there_is_no_way() -> None:
    assert reason("Warning: one\n" * 100 + "Killed").endswith("Killed")
