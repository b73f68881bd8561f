"""What a request for a call says to no effect, without a simulator."""

import pytest

from twistream_kit.simulator.rest.call_request import read_plan

CALL = {"To": "+15550100001", "From": "+15550100009", "Twiml": "<Response/>"}


class Form(dict):
    def get_all(self, key):
        return [self[key]] if key in self else []

    def get(self, key, default=""):
        return super().get(key, default)


def read(**params):
    return read_plan(Form(CALL | params), lambda to, from_: None)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        (
            {"SendDigits": "1", "MachineDetection": "Enable"},
            "MachineDetection is ignored beside SendDigits",
        ),
        ({"AsyncAmd": "true"}, "AsyncAmd is given without MachineDetection"),
        (
            {"MachineDetectionTimeout": "5", "MachineDetectionSilenceTimeout": "3000"},
            "MachineDetectionTimeout, MachineDetectionSilenceTimeout are given without Machine",
        ),
        (
            {"AsyncAmdStatusCallback": "https://e.org/amd"},
            "AsyncAmdStatusCallback is given without MachineDetection",
        ),
        (
            {"MachineDetection": "Enable", "AsyncAmdStatusCallback": "https://e.org/amd"},
            "AsyncAmdStatusCallback is given without AsyncAmd=true",
        ),
    ],
)
def test_what_of_machine_detection_has_no_effect_is_noted(params, said):
    plan = read(**params)
    [note] = plan.notes
    assert note.statement.startswith(said)
    assert note.code is None  # Twilio logs nothing
    assert note.consequence
    assert note.fix
    assert plan.remarks == ()


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"AsyncAmd": "false"},
        {"SendDigits": "1"},
        {"MachineDetection": "DetectMessageEnd"},
        {"MachineDetection": "Enable", "MachineDetectionTimeout": "5"},
        {
            "MachineDetection": "Enable",
            "AsyncAmd": "true",
            "AsyncAmdStatusCallback": "https://e.org/amd",
        },
    ],
)
def test_what_has_an_effect_is_not_noted(params):
    plan = read(**params)
    assert (plan.notes, plan.remarks) == ((), ())


def test_a_verdict_for_which_there_is_no_callback_is_warned_of():
    [remark] = read(MachineDetection="Enable", AsyncAmd="true").remarks
    assert remark.code == 21262
    assert "answered_by of the call has it" in remark.text
