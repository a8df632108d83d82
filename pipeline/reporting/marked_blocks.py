"""Parts of handwritten pages that are generated, between marks in the page."""

import re
from collections.abc import Callable, Mapping

_BLOCK = re.compile(r"^<!-- (\w+)((?: [\w.]+)*) -->$.*?^<!-- end -->$", re.MULTILINE | re.DOTALL)


def fill_blocks(page: str, text: str, makers: Mapping[str, Callable[..., str]]) -> str:
    """Put what is generated between its marks.

    Args:
        page: Name of the page, for messages.
        text: The page, with `<!-- KIND WORD ... -->` and `<!-- end -->` on lines of their own.
        makers: Kind -> function that makes the block's text of the words.

    Raises:
        KeyError: the page has a kind of block that nothing makes, or lacks one that it should have.
    """
    kinds = {match[1] for match in _BLOCK.finditer(text)}
    if kinds != makers.keys():
        raise KeyError(
            f"{page} has blocks {sorted(kinds)}, `<!-- KIND ... -->` to `<!-- end -->`; made are "
            f"{sorted(makers)}"
        )

    def made(match: re.Match[str]) -> str:
        text = makers[match[1]](*match[2].split())
        return f"<!-- {match[1]}{match[2]} -->\n{text}\n<!-- end -->"

    return _BLOCK.sub(made, text)
