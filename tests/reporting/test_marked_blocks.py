"""Generated parts of handwritten pages."""

import pytest

from pipeline.reporting.marked_blocks import fill_blocks

PAGE = """before
<!-- sum 1 2.5 -->
old
<!-- end -->
between
<!-- name -->
<!-- end -->
after <!-- sum 3 --> stays
"""


def test_each_block_is_made_of_its_words() -> None:
    makers = {"sum": lambda *words: str(sum(map(float, words))), "name": lambda: "a\nb"}
    filled = fill_blocks("page.md", PAGE, makers)
    assert filled == PAGE.replace("old", "3.5").replace("<!-- name -->", "<!-- name -->\na\nb")
    assert fill_blocks("page.md", filled, makers) == filled


@pytest.mark.parametrize("kinds", [("sum",), ("sum", "name", "rows")])
def test_a_page_with_other_blocks_is_named(kinds: tuple[str, ...]) -> None:
    with pytest.raises(KeyError, match=r"page\.md has blocks \['name', 'sum'\]"):
        fill_blocks("page.md", PAGE, dict.fromkeys(kinds, lambda *words: ""))
