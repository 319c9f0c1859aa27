"""The small language of `import --opt`: `name:value`, commas between; quotes as in Signatory."""

import click


def parse_options(texts: tuple[str, ...]) -> dict[str, str]:
    """All pairs of all `-o`. Raises click.UsageError for anything that is not `name:value[,name:value]`."""
    return {name: value for text in texts for name, value in _pairs(text)}


def _pairs(text: str) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    words: list[str] = [""]
    for character, literal in [*_characters(text), (",", False)]:
        if literal:
            words[-1] += character
        elif character == ":":
            words.append("")
        elif character == ",":
            if len(words) != 2 or not words[0]:
                raise click.UsageError("--opt takes NAME:VALUE[,NAME:VALUE]")
            pairs.append((words[0], words[1]))
            words = [""]
    return pairs


def _characters(text: str) -> list[tuple[str, bool]]:
    """Each character that counts, and whether it stands for itself."""
    found: list[tuple[str, bool]] = []
    quote, escaped = "", False
    for character in text:
        if escaped:
            found.append((character, True))
            escaped = False
        elif character == "\\":
            escaped = True
        elif quote:
            if character == quote:
                quote = ""
            else:
                found.append((character, True))
        elif character in "'\"":
            quote = character
        elif not character.isspace():
            found.append((character, character not in ":,"))
    if quote or escaped:
        raise click.UsageError("--opt ends inside quotes or after a back-slash")
    return found
