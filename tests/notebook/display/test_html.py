"""The pieces that displays are made of."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given, settings
from hypothesis import strategies as st

from twistream_kit.notebook.display.html import Html, bullets, code, join, pairs, paragraph, table


class Words(HTMLParser):
    """The text of a document, and whether each tag was closed."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.text, self.tags, self.open = "", [], []
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40))
def test_whatever_is_shown_is_shown_as_it_is_and_never_obeyed(value):
    markup = table(["a", "b"], [(value, code(value))], caption="c")
    words = Words(markup)
    assert words.text == f"cab{value}{value}"
    assert words.open == []
    assert [tag for tag, _ in words.tags] == [
        *("table", "caption", "thead", "tr", "th", "th", "tbody", "tr", "th", "td", "code")
    ]


def test_html_is_escaped_once():
    assert join("<", paragraph("<"), code(code("<"))).count("&lt;") == 3


def test_code_of_nothing_is_no_empty_box():
    assert (code(""), code(None), code(0)) == (
        "",
        "",
        '<code style="white-space:pre-wrap">0</code>',
    )
    assert join(Html("<br>")) == "<br>"


def test_a_table_names_its_columns_and_its_rows_for_a_screen_reader():
    words = Words(table(["offset", "value"], [(0, "RIFF")], caption="fields"))
    scopes = [attributes["scope"] for tag, attributes in words.tags if tag == "th"]
    assert scopes == ["col", "col", "row"]


def test_pairs_name_their_rows():
    words = Words(pairs({"server": "ws://x"}, caption="A call"))
    assert [attributes["scope"] for tag, attributes in words.tags if tag == "th"] == ["row"]
    assert words.text == "A callserverws://x"


def test_a_list_of_nothing_is_nothing():
    assert bullets([]) == ""
