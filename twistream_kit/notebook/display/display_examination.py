"""How an `Examination` looks in a notebook: what was found, and the sound before and after."""

from __future__ import annotations

from twistream_kit.audio.examination import Examination, Finding
from twistream_kit.errors import sentences
from twistream_kit.notebook.display.html import EMPTY, Html, code, joined, paragraph, strong, table
from twistream_kit.notebook.display.player import player

MOST_PLAYED_BYTES = 4_000_000
"""What the two players together may weigh in a notebook, before base64: 20 s of 44.1 kHz stereo."""


def show_examination(examination: Examination) -> Html:
    """A table of findings, the verdict, and players for before, after and the header's click."""
    heads = ("verdict", "what was looked at", "what was found")
    rows = [
        (finding.severity, finding.subject, _story(finding)) for finding in examination.findings
    ]
    return joined(
        table(heads, rows, caption=examination.heading),
        paragraph(strong(f"{examination.verdict}.")),
        _players(examination),
    )


def _story(finding: Finding) -> Html:
    more = sentences(finding.consequence, finding.fix)
    problem = paragraph(_with_code(sentences(finding.problem)))
    return joined(problem, paragraph(_with_code(more)) if more else EMPTY)


def _with_code(sentence: str) -> Html:
    """Set what stands between backticks in the font of code."""
    parts = sentence.split("`")
    return joined(*(code(part) if n % 2 else part for n, part in enumerate(parts)))


def _players(examination: Examination) -> Html:
    before, after = examination.before, examination.after.samples()
    if not len(after):
        return EMPTY
    rate = examination.sample_rate
    size = 2 * before.shape[1] * rate + 2 * 8000
    seconds = min(MOST_PLAYED_BYTES / size, examination.after.seconds)
    parts = [
        paragraph(f"Before, at {rate} Hz:"),
        player(before[: round(seconds * rate)], rate, "before"),
        paragraph("After, as on the telephone:"),
        player(after[: round(seconds * 8000)], 8000, "after"),
    ]
    if examination.figures.seconds - seconds > 0.01:
        parts.append(paragraph(f"The players hold the first {seconds:.0f} s."))
    if examination.click is not None:
        click = examination.click.samples()[: 8000 * 5]
        parts += [
            paragraph("Its header, if the file were sent whole:"),
            player(click, 8000, "header"),
        ]
    return joined(*parts)
