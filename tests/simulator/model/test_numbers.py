import pytest

from twistream_kit.simulator.model.numbers import Sids, in_national_form, is_e164, require_e164


@pytest.mark.parametrize("number", ["+15550100001", "+4930123", "+493012345678901"])
def test_plus_country_code_and_number_are_e164(number):
    assert is_e164(number)
    require_e164(number)


@pytest.mark.parametrize(
    "number",
    ["", "+", "15550100001", "+05550100001", "+123456", "+1" + "2" * 15, "+1 555 0100001",
     "+15550100001\n", "+1٣٣٣٣٣٣٣", "alice"],
)  # fmt: skip
def test_nothing_else_is_e164(number):
    assert not is_e164(number)
    with pytest.raises(ValueError, match="such as"):
        require_e164(number)


def test_numbers_of_the_us_have_a_national_form_and_others_stay_as_they_are():
    assert in_national_form("+14158675308") == "(415) 867-5308"
    assert in_national_form("+493012345678") == "+493012345678"


def test_sids_are_counted_by_kind():
    sids, again = Sids(), Sids()
    made = [sids.make(prefix) for prefix in ("CA", "CA", "SK")]
    assert made == [again.make("CA"), again.make("CA"), again.make("SK")]
    assert len(set(made)) == 3
    assert {len(sid) for sid in made} == {34}
