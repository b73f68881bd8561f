"""The parts of a page's script, joined into one module: what comes out, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from anywidget import AnyWidget

import lint_javascript
import twistream_kit as kit
from twistream_kit.notebook.widgets import _javascript
from twistream_kit.notebook.widgets._javascript import join_modules
from twistream_kit.notebook.widgets.hearing import HearingWidget
from twistream_kit.notebook.widgets.phone import PhoneWidget

STATIC = Path(_javascript.__file__).parents[1] / "static"
DEFAULT = "export default () => {};\n"
ONE = "export const one = 1;\n"
IMPORT_ONE = 'import { one } from "./a.js";\n'
USES_TWO = "const three = () => [`${two}`];\n"


@pytest.fixture
def join(tmp_path):
    """Join parts, each given by its name and text; the first is the entry."""

    def join_parts(**texts):
        for name, text in texts.items():
            (tmp_path / f"{name}.js").write_text(text, encoding="utf-8")
        return join_modules(tmp_path / f"{next(iter(texts))}.js")

    return join_parts


def test_parts_come_once_and_after_those_that_they_import(join):
    joined = join(
        entry='import { two } from "./b.js";\nimport { one } from "./a.js";\n' + DEFAULT,
        a="export const one = 1;\n",
        b='// The second.\n\nimport { one } from "./a.js";\n\nexport const two = 2 * one;\n',
    )
    assert joined == (
        "// a.js\n\nconst one = 1;\n\n"
        "// b.js\n\n// The second.\n\n\nconst two = 2 * one;\n\n"
        "// entry.js\n\nexport default () => {};\n"
    )


def test_a_part_of_the_folder_above_is_joined_once_for_all_that_import_it(join, tmp_path):
    below = tmp_path / "below"
    below.mkdir()
    (tmp_path / "a.js").write_text(ONE, encoding="utf-8")
    (tmp_path / "b.js").write_text(IMPORT_ONE + "export const two = 2 * one;\n", encoding="utf-8")
    imports = 'import { two } from "../b.js";\nimport { one } from "../a.js";\n'
    (below / "entry.js").write_text(imports + DEFAULT, encoding="utf-8")
    joined = join_modules(below / "entry.js")
    assert [line for line in joined.splitlines() if line.startswith("//")] == [
        "// a.js",
        "// b.js",
        "// entry.js",
    ]
    assert "import" not in joined


def test_two_parts_of_one_name_are_refused(tmp_path):
    below = tmp_path / "below"
    below.mkdir()
    for folder in (tmp_path, below):
        (folder / "a.js").write_text(ONE, encoding="utf-8")
    imports = IMPORT_ONE + 'import { one } from "../a.js";\n'
    (below / "entry.js").write_text(imports + DEFAULT, encoding="utf-8")
    with pytest.raises(ValueError, match=r"entry.js, line 2: there are two parts named a.js"):
        join_modules(below / "entry.js")


def test_it_is_read_once_per_process(join, tmp_path):
    first = join(entry=DEFAULT)
    (tmp_path / "entry.js").unlink()
    assert join_modules(tmp_path / "entry.js") is first


DECLARATIONS = """\
export const one = 1, two = [1, 2].map((each) => each * one);
export let three = class Inner extends Object {};
export class Four { static one = 1; two() { return this.five; } }
export function five(a, b) { const six = a, seven = b; return six / seven; }
export async function eight() {}
export function* nine() {}
export async function* ten() {}
const eleven = async function inner() {}, twelve = { one, two: 2 };
"""
NAMES = ["one", "two", "three", "Four", "five", "eight", "nine", "ten"]


def test_every_kind_of_declaration_is_exported(join):
    imports = f"import {{\n  {', '.join(NAMES)},\n}} from './a.js';\n".replace("'", '"')
    joined = join(entry=imports + DEFAULT, a=DECLARATIONS)
    assert DECLARATIONS.replace("export ", "") in joined
    assert "import" not in joined


@pytest.mark.parametrize("name", ["Inner", "six", "inner", "each"])
def test_what_is_declared_inside_is_nobodys_business(join, name):
    also = f"const {name} = one;\n"
    assert also in join(entry=IMPORT_ONE + DEFAULT, a=DECLARATIONS + also)


@pytest.mark.parametrize("use", ["{ a: 1, two: 2 }.two", "{ two: 2 }", "URL?.two"])
def test_a_property_may_be_called_as_something_in_another_part(join, use):
    code = f"const three = {use};\n"
    assert code in join(entry=IMPORT_ONE + code + DEFAULT, a=ONE + "let two = 2;\n")


@pytest.mark.parametrize(
    "code",
    [
        "const text = `\nimport x from 'y';\n${[1].map((n) => `export ${n} } \\``)} const a = 1`;",
        "// import x from 'y'\n/* export { a } */ const b = 1;",
        "const pattern = /[/`\"'{]import|\\/export {/g.test('\\'export {') / 2;",
        "const share = (1 + 2) / 3, other = [4][0] / 5 / 6;",
        "const far = { a: 1 }.import, near = far?.export;",
        "if (true) { const class_ = 1; }",
    ],
)
def test_text_that_only_looks_like_code_is_left_as_it_is(join, code):
    assert f"\n{code}\n" in join(entry=f"{code}\n{DEFAULT}")


REFUSED = {
    "equal names of two parts": (
        {"entry": IMPORT_ONE + "class two {}\n" + DEFAULT, "a": ONE + "function two() {}\n"},
        "entry.js, line 2: two is declared in a.js too",
    ),
    "equal names further on in a declaration": (
        {"entry": IMPORT_ONE + "const two = [1, 2], one = 3;\n" + DEFAULT, "a": ONE},
        "entry.js, line 2: one is declared in a.js too",
    ),
    "equal names in one part": (
        {"entry": "let one = 1;\nclass one {}\n" + DEFAULT},
        "entry.js, line 2: one is declared in entry.js too",
    ),
    "a name of another part that is not imported": (
        {"entry": IMPORT_ONE + USES_TWO + DEFAULT, "a": ONE + "let two = 2;\n"},
        "entry.js, line 2: two is declared in a.js and not imported from there",
    ),
    "a name of a part that imports this one": (
        {"entry": IMPORT_ONE + "class URL {}\n" + DEFAULT, "a": "export const one = new URL();\n"},
        "a.js, line 1: URL is declared in entry.js and not imported",
    ),
    "a name inside that is another part's outside": (
        {"entry": IMPORT_ONE + USES_TWO + DEFAULT, "a": ONE + "{ const three = 3; }\n"},
        "a.js, line 2: three is declared in entry.js and not imported",
    ),
    "a part that is not there": (
        {"entry": IMPORT_ONE + DEFAULT},
        "entry.js, line 1: there is no a.js beside entry.js",
    ),
    "a name that is not exported": (
        {"entry": IMPORT_ONE + DEFAULT, "a": "const one = 1;\n"},
        "entry.js, line 1: a.js exports no one",
    ),
    "a circle": (
        {
            "entry": IMPORT_ONE + DEFAULT,
            "a": 'import { two } from "./b.js";\n' + ONE,
            "b": 'import { one } from "./a.js";\nexport const two = 2;\n',
        },
        "circular imports: a.js → b.js → a.js",
    ),
    "a circle of one": (
        {"entry": 'import { one } from "./entry.js";\n' + ONE + DEFAULT},
        "circular imports: entry.js → entry.js",
    ),
    "an entry without a default export": (
        {"entry": ONE},
        "entry.js, line 1: the entry has no default export",
    ),
    "a default export elsewhere": (
        {"entry": IMPORT_ONE + DEFAULT, "a": ONE + DEFAULT},
        "a.js, line 2: only the entry may have a default export",
    ),
    "two default exports": (
        {"entry": DEFAULT + DEFAULT},
        "entry.js, line 2: only the entry may have a default export, only one",
    ),
}

NOT_UNDERSTOOD = {
    "import": [
        'import one from "./a.js";',
        'import * as a from "./a.js";',
        'import one, { two } from "./a.js";',
        'import { one as two } from "./a.js";',
        'import { default as one } from "./a.js";',
        'import {} from "./a.js";',
        'import "./a.js";',
        'import { one } from "a";',
        'import { one } from "../../a.js";',
        'import { one } from "../b/a.js";',
        'import { one } from "./b/a.js";',
        'import { one } from "https://example.com/a.js";',
        'import { one } from "./a.json" with { type: "json" };',
        'import { one } from "./a.js"\n',
        '{ import { one } from "./a.js"; }',
        'const a = await import("./a.js");',
        "const here = import.meta.url;",
    ],
    "export": [
        "const one = 1; export { one };",
        "const one = 1; export { one as two };",
        'export * from "./a.js";',
        'export * as a from "./a.js";',
        'export { one } from "./a.js";',
        "export var one = 1;",
        "{ export const one = 1; }",
    ],
}

NOT_CERTAIN = {
    "export const { one } = {};": "this does not declare a plain name",
    "const a = 1, [b] = [2];": "this does not declare a plain name",
    "function () {}": "this does not declare a plain name",
    "if (true) { var one = 1; }": "var reaches out of its block",
    "const a = 1\nconst b = 2;": "the declaration before this one has no semicolon",
    "const a = {}\nclass B {}": "the declaration before this one has no semicolon",
    "const a = 'text\n';": "a string has no end",
    "const a = `text;": "a template has no end",
    "const a = (1];": "] closes nothing",
    "const a = 1; }": "} closes nothing",
    "const a = [(1);": "entry.js, line 1: [ is not closed",
    "const a = `${1;": "entry.js, line 1: ${ is not closed",
    "const a = (1;": "entry.js, line 1: ( is not closed",
    "if (a) /'/.test(b);": "is this a division or a regular expression?",
    "{} /'/.test(b);": "is this a division or a regular expression?",
    "const a = b++ / 2;": "is this a division or a regular expression?",
    "const a = /[/;": "a regular expression or a comment has no end",
    "/* const a = 1;": "a regular expression or a comment has no end",
}


@pytest.mark.parametrize("what", REFUSED)
def test_it_refuses(join, what):
    parts, words = REFUSED[what]
    with pytest.raises(ValueError) as refused:
        join(**parts)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("kind", "form"), [(kind, form) for kind, forms in NOT_UNDERSTOOD.items() for form in forms]
)
def test_it_refuses_a_form_that_it_does_not_understand(join, kind, form):
    with pytest.raises(ValueError, match=rf"js, line 2: this form of {kind} is not supported"):
        join(entry=f"// First.\n{form}\n{DEFAULT}", a="export const one = 1;\n")


@pytest.mark.parametrize(("code", "words"), NOT_CERTAIN.items())
def test_it_refuses_what_it_cannot_tell_for_certain(join, code, words):
    with pytest.raises(ValueError) as refused:
        join(entry=f"{code}\n{DEFAULT}")
    assert words in str(refused.value)
    assert str(refused.value).startswith("entry.js, line ")


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("export const one = 1\n", "the last statement has no semicolon"),
        ("export const one = {}\n", "the last declaration has no semicolon"),
        ("export const one = 1;\nstart()\n", "the last statement has no semicolon"),
        ("export const one = [1;\n", "[ is not closed"),
    ],
)
def test_it_refuses_a_part_whose_end_would_run_into_the_next(join, part, words):
    with pytest.raises(ValueError) as refused:
        join(entry=IMPORT_ONE + DEFAULT, a=part)
    assert words in str(refused.value)


# The telephone


def test_the_page_of_the_telephone_is_all_its_parts():
    joined = join_modules(STATIC / "phone" / "phone.js")
    assert PhoneWidget._esm == joined
    parts = {path.name for path in (STATIC / "phone").iterdir()}
    assert {line[3:] for line in joined.splitlines() if line[3:] in parts} == parts
    assert joined.count("\nexport ") == joined.count("\nexport default ") == 1
    assert "\nimport " not in joined


def test_the_widget_sends_the_joined_text(background_loop):
    from twistream_kit.simulator.twilio import SimulatedTwilio

    twilio = background_loop.start(SimulatedTwilio())
    widget = PhoneWidget(twilio.phone("+15550100001", answer="manual"), direct=False)
    assert widget.get_state()["_esm"] == join_modules(STATIC / "phone" / "phone.js")


# The check of the scripts


@pytest.fixture(scope="module")
def node():
    """The path of node; without one the tests are skipped, or fail where it is required."""
    found = shutil.which("node")
    if found is None:
        if os.environ.get("TWISTREAM_REQUIRE_NODE") == "1":
            pytest.fail("there is no node on PATH, but TWISTREAM_REQUIRE_NODE is set")
        pytest.skip("there is no node on PATH; set TWISTREAM_REQUIRE_NODE=1 to make this a failure")
    return found


def test_every_script_and_each_joined_text_is_checked():
    texts = lint_javascript.scripts()
    parts = {"live/scope.js", "phone/phone.js", "phone/view.js"}
    assert set(texts) >= {"live_text.js", *parts, "phone, joined", "scope, joined"}
    assert {"live_text.js, joined", "file_field.js, joined"} <= set(texts)
    assert texts["phone, joined"] == PhoneWidget._esm


def test_the_check_finds_what_is_no_javascript(node):
    texts = {
        "right.js": 'import { a } from "./a.js";\nexport const b = a;\n',
        "torn.js": "const a = (1;\n",
        "twice.js": "const a = 1;\nclass a {}\n",
        "private.js": "export class A { b() { return this.#c; } }\n",
    }
    found = lint_javascript.faults(node, texts)
    assert [words.partition(":")[0] for words in found] == ["torn.js", "twice.js", "private.js"]
    assert all("SyntaxError" in words for words in found)


@pytest.mark.parametrize(("is_required", "code"), [("1", 1), ("", 0)])
def test_without_node_the_check_is_left_out_in_words(monkeypatch, capsys, is_required, code):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("TWISTREAM_REQUIRE_NODE", is_required)
    assert lint_javascript.main() == code
    assert "JavaScript is not checked: there is no node on PATH" in capsys.readouterr().out


def test_a_fault_fails_the_check(node, monkeypatch, capsys):
    monkeypatch.setattr(lint_javascript, "scripts", lambda: {"torn.js": "const a = (1;\n"})
    assert lint_javascript.main() == 1
    assert "torn.js: [stdin]:1" in capsys.readouterr().out


def run(node, code):
    done = subprocess.run(
        [node, "--input-type=module"], input=code, capture_output=True, encoding="utf-8", check=True
    )
    return json.loads(done.stdout)


def test_the_joined_text_computes_what_its_parts_say(node, join):
    joined = join(
        entry='import { twice } from "./a.js";\nexport default () => twice(21);\n',
        a='import { two } from "./b.js";\nexport function twice(n) {\n  return two * n;\n}\n',
        b="export const two = 2;\n",
    )
    code = joined.replace("export default", "const made =") + "console.log(JSON.stringify(made()));"
    assert run(node, code) == 42


A_BUSY_PAGE = """
const became = [];
class WebSocket extends EventTarget {
  close() { became.push("closed"); }
}
const socket = connectDirectly("ws://127.0.0.1/", () => became.push("failed"));
socket.addEventListener("open", () => became.push("open"));
const end = performance.now() + 200;
while (performance.now() < end); // longer than the whole timeout
// A page hears of its timers first, and then of its sockets.
if (OPENS) setTimeout(() => socket.dispatchEvent(new Event("open")), 20);
setTimeout(() => { console.log(JSON.stringify(became)); process.exit(); }, 400);
"""


@pytest.mark.parametrize(("opens", "became"), [("true", ["open"]), ("false", ["closed"])])
def test_a_page_that_was_busy_hears_that_its_socket_is_open(node, opens, became):
    transport = (STATIC / "transport.js").read_text(encoding="utf-8").replace("export ", "")
    assert "const OPEN_MS = 1500;" in transport
    transport = transport.replace("const OPEN_MS = 1500;", "const OPEN_MS = 150;")
    assert run(node, f"{transport}const OPENS = {opens};{A_BUSY_PAGE}") == became


WORKLET_ALONE = """
const names = [];
const scope = "class AudioWorkletProcessor { port = {}; }; const sampleRate = 48000;"
  + "const registerProcessor = (name, Kind) => names.push([name, new Kind({processorOptions:"
  + "{ target: 0.07, most: 0.12 } }) && true]);";
new Function("names", scope + WORKLET)(names);
console.log(JSON.stringify(names));
"""


def test_what_is_sent_to_the_thread_of_the_sound_names_nothing_else_of_the_page(node):
    joined = PhoneWidget._esm.replace("export default", "const page =")
    expected = [["twistream-loudspeaker", True], ["twistream-microphone", True]]
    assert run(node, joined + WORKLET_ALONE) == expected


def test_the_module_of_each_widget_hears_its_kernel_however_late_it_comes():
    assert kit.Workbench  # imports every widget
    widgets = [each for each in AnyWidget.__subclasses__() if is_ours(each)]
    assert widgets == [HearingWidget], "another base would not tell its module its own id"
    shown = [each for each in HearingWidget.__subclasses__() if is_ours(each)]
    assert len(shown) >= 6
    for widget in shown:
        entry = str(widget._esm).rpartition("export default")[2]
        assert "hearing({" in entry, widget


def is_ours(widget):
    return widget.__module__.startswith("twistream_kit.")


def test_the_player_never_says_sixty_seconds(node, tmp_path):
    for name in ("timeline.js", "pieces.js"):
        shutil.copy(STATIC / "recording" / name, tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    times = [[59.96, 1], [119.94, 1], [119.96, 1], [179.7, 0], [61, 0], [5.04, 1]]
    (tmp_path / "say.js").write_text(
        'import { formatTime } from "./timeline.js";\n'
        f'console.log({times}.map(([at, digits]) => formatTime(at, digits)).join(" "));',
        encoding="utf-8",
    )
    said = subprocess.run(
        [node, tmp_path / "say.js"], capture_output=True, text=True, timeout=60, check=True
    )
    assert said.stdout.split() == ["1:00.0", "1:59.9", "2:00.0", "3:00", "1:01", "0:05.0"]
