import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twistream_kit.protocol.rest import is_e164
from twistream_kit.simulator.model.numbers import (
    COUNTRIES,
    Sids,
    find_country,
    format_national,
    require_e164,
)


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
    assert format_national("+14158675308") == "(415) 867-5308"
    assert format_national("+493012345678") == "+493012345678"


def test_sids_are_counted_by_kind():
    sids, again = Sids(), Sids()
    made = [sids.make(prefix) for prefix in ("CA", "CA", "SK")]
    assert made == [again.make("CA"), again.make("CA"), again.make("SK")]
    assert len(set(made)) == 3
    assert {len(sid) for sid in made} == {34}


@pytest.mark.parametrize(
    ("number", "iso"),
    [
        ("+15550100001", "US"),
        ("+442079460000", "GB"),
        ("+493012345678", "DE"),
        ("+353861234567", "IE"),
        ("+351212345678", "PT"),
        ("+79161234567", "RU"),
    ],
)
def test_number_belongs_to_the_country_of_its_calling_code(number, iso):
    assert find_country(number).iso == iso


@pytest.mark.parametrize("number", ["+9991234567", "+3501234567", "+", ""])
def test_number_with_a_code_that_is_not_listed_has_no_country(number):
    assert find_country(number) is None


def test_no_calling_code_is_the_beginning_of_another():
    codes = sorted(country.calling_code for country in COUNTRIES.values())
    assert len(set(codes)) == len(codes)
    assert not [(a, b) for a in codes for b in codes if a != b and b.startswith(a)]


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(sorted(COUNTRIES)), st.text("0123456789", min_size=4, max_size=11))
def test_whatever_follows_the_code_the_country_stays(iso, rest):
    assert find_country(f"+{COUNTRIES[iso].calling_code}{rest}").iso == iso
