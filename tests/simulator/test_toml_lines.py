"""The lines of what stands in TOML."""

from __future__ import annotations

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from twistream_kit.simulator._toml_lines import find_lines


def test_lines_are_found_behind_values_of_several_lines_and_in_odd_spelling():
    text = '''\
# [[step]]
a = """
[[step]]
b = 1
"""
"c d" = \'\'\'x
e = 1\'\'\'
f = [ # [
  1,
  [2, "]"], # ]
]
[[ step ]] # one
g = "[[step]] \\" = # x"
[["step"]]
'h' = {i = [1,
  2]}
j.k = 1
[other]
l = 1
'''
    tomllib.loads(text)
    assert find_lines(text) == {
        ("", 0, "a"): 2,
        ("", 0, "c d"): 6,
        ("", 0, "f"): 8,
        ("step", 0, ""): 12,
        ("step", 0, "g"): 13,
        ("step", 1, ""): 14,
        ("step", 1, "h"): 15,
        ("step", 1, "j"): 17,
        ("other", 0, ""): 18,
        ("other", 0, "l"): 19,
    }


VALUES = [
    '"a"', "'[x]'", "[1, 2]", "[\n1,\n]", "[\n[1],\n]",
    '"""\n[[step]]\ndo = 1\n"""', "'''\n# \"\n'''", "true",
    '"\\""', '"# no comment" # a comment', "{a = [1], b = '}'}", '""', "''", '"""a"""""',
]  # fmt: skip


@given(st.lists(st.lists(st.sampled_from(VALUES), max_size=4), max_size=5))
def test_every_key_has_the_line_in_which_it_stands(tables):
    lines, places = [], {}
    for number, values in enumerate(tables):
        lines.append("[[step]]")
        places["step", number, ""] = len(lines)
        for key, value in enumerate(values):
            lines += f"k{key} = {value}".split("\n")
            places["step", number, f"k{key}"] = len(lines) - value.count("\n")
    text = "\n".join(lines)
    assert len(tomllib.loads(text).get("step", [])) == len(tables)
    assert find_lines(text) == places
