"""axe-core on all that the kit shows: nothing serious in any state of a call, light and dark."""

from __future__ import annotations

import pytest
import pytest_asyncio
from playwright.async_api import expect

from support.accessibility import OF_A_WHOLE_PAGE, THEMES, describe_grave, find_violations

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

CALL = """\
import twistream_kit as kit
from twistream_kit.notebook.widgets.scope import LiveScope
from twistream_kit.notebook.widgets.phone import PhoneWidget
from twistream_kit.notebook.widgets.stream_log import StreamLog

twilio = kit.start(kit.SimulatedTwilio())
server = kit.start(kit.StreamServer(auth_token=twilio.auth_token))
phone = twilio.phone("+15550100001", answer="manual")
people = {"to": phone.number, "from_": twilio.numbers[0]}
tone = kit.Clip(kit.Clip.tone(440, 300, level_db=-20).payload, name="tone")"""
PHONE = "widget = PhoneWidget(phone, server=server)\nwidget"
RING = """\
phone.state == "idle" or phone.hang_up()
phone.until("idle").result(30)
call = kit.place_call(twilio.client, **people, stream_url=server.stream_url).result(30)
phone.until("ringing").result(30)"""
ANSWER = f"""\
{RING}
phone.answer()
stream = server.next_stream(call).result(30)"""
CONTROLS = "controls = kit.StreamControls(stream, clips=[tone], call=call)\ncontrols"
SCOPE = "LiveScope(stream)"
LOG = "StreamLog(stream)"

WIDGETS = {
    ".twistream-phone": PHONE,
    ".twistream-controls": CONTROLS,
    ".twistream-scope": SCOPE,
    ".twistream-log": LOG,
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def notebook(lab, open_notebook):
    """All widgets of the kit, of one call that has not begun."""
    path = lab.write_notebook("accessible.ipynb", CALL, PHONE, ANSWER, CONTROLS, SCOPE, LOG)
    notebook = await open_notebook(path)
    await notebook.run_up_to(PHONE)
    yield notebook
    await notebook.close()


async def objections(notebook, selector):
    """Return what axe-core finds serious or critical in one widget."""
    await notebook.cell(WIDGETS[selector])
    shown = notebook.page.locator(selector).last
    await shown.scroll_into_view_if_needed()
    violations = await find_violations(notebook.page, selector, rules=OF_A_WHOLE_PAGE)
    return describe_grave(violations, of=f"{selector}: ")


async def objections_in_both_themes(notebook, *selectors):
    found = []
    for theme in THEMES:
        await notebook.theme(theme)
        for selector in selectors:
            found += [f"{theme}: {each}" for each in await objections(notebook, selector)]
            name = f"{selector[1:]}-{theme.split()[1].lower()}"
            await notebook.picture(f"axe-{name}", notebook.page.locator(selector).last)
    return found


async def show_a_call(notebook):
    for source in (ANSWER, CONTROLS, SCOPE, LOG):
        await notebook.run_cell(source)
    await expect(notebook.page.locator(".twistream-controls")).to_contain_text("In a call")


async def test_the_telephone_is_accessible_before_a_call_and_while_it_rings(notebook):
    assert await objections_in_both_themes(notebook, ".twistream-phone") == []
    await notebook.ask(RING)
    await expect(notebook.page.locator(".twistream-phone")).to_contain_text("is calling")
    assert await objections_in_both_themes(notebook, ".twistream-phone") == []


async def test_all_that_is_shown_of_a_call_is_accessible_while_sound_plays(notebook):
    await show_a_call(notebook)
    assert await objections_in_both_themes(notebook, ".twistream-controls") == []
    # Too short for `play` to refuse it.
    await notebook.ask("import base64; stream.play(base64.b64encode(tone.payload[:42]))")
    await notebook.ask("playing = stream.play(tone, mark='tone')")
    await expect(notebook.page.locator(".twistream-log")).to_contain_text("base64")
    assert await objections_in_both_themes(notebook, *WIDGETS) == []
    assert await notebook.ask("print(playing.done())") == "False"


async def test_what_is_left_of_a_call_that_has_ended_is_accessible(notebook):
    await show_a_call(notebook)
    await notebook.ask("call.hang_up().result(30); stream.closed.result(30)")
    await expect(notebook.page.locator(".twistream-controls")).to_contain_text("Ended")
    assert await objections_in_both_themes(notebook, *WIDGETS) == []


async def test_axe_objects_to_a_button_without_a_name(notebook):
    await notebook.page.evaluate(
        "() => { const box = document.querySelector('.twistream-phone');"
        " box.append(Object.assign(document.createElement('button'), {id: 'nameless'})); }"
    )
    found = await objections(notebook, ".twistream-phone")
    await notebook.page.evaluate("() => document.getElementById('nameless').remove()")
    assert any("button-name" in each for each in found)
