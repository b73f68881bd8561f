import threading

import pytest

from twistream_kit.simulator.model.numbers import ACCOUNT_NUMBERS, Sids
from twistream_kit.simulator.rest._errors import Refusal
from twistream_kit.simulator.rest.account import AccountRecord, SimulatedAccount

ALICE = "+15550100001"
OWN, OTHER = ACCOUNT_NUMBERS


def record(regime="off", **fields):
    return AccountRecord(SimulatedAccount(**fields), regime, ACCOUNT_NUMBERS, Sids())


def code_of(account, to=ALICE, from_=OWN):
    with pytest.raises(Refusal) as caught:
        account.allow(to, from_)
    return caught.value.code


def test_own_number_may_call_and_is_named_by_its_sid():
    account = record()
    assert account.allow(ALICE, OWN) == account.own(OWN).sid


def test_verified_number_may_call_from_a_full_account_only():
    account = record(verified=(ALICE,))
    assert account.allow("+15550100002", ALICE) == account.verified[ALICE]
    trial = record("blocked", type="Trial", verified=(ALICE, "+15550100002"))
    assert code_of(trial, "+15550100002", ALICE) == 21210


def test_number_without_voice_may_not_call():
    account = record(voiceless=(OTHER,))
    assert code_of(account, from_=OTHER) == 21210
    assert account.allow(ALICE, OWN)


def test_voiceless_number_must_be_one_of_the_accounts():
    with pytest.raises(ValueError, match="no number of the account"):
        record(voiceless=(ALICE,))


def test_number_in_a_country_that_is_not_listed_is_never_blocked():
    account = record(blocked_countries=frozenset({"US", "DE"}))
    assert account.allow("+35012345678", OWN)
    assert code_of(account) == 21215


def test_trial_account_calls_whom_it_verified():
    account = record("announcement", type="Trial")
    assert code_of(account) == 21219
    account.verify(ALICE)
    account.verify(ALICE)
    assert account.allow(ALICE, OWN)
    assert list(account.verified) == [ALICE]


def test_sixth_number_is_one_too_many_for_a_trial_account_and_not_for_a_full_one():
    numbers = [f"+1555010000{digit}" for digit in range(6)]
    trial, full = record("blocked", type="Trial"), record()
    for number in numbers[:5]:
        trial.verify(number)
    with pytest.raises(ValueError, match="cannot be verified"):
        trial.verify(numbers[5])
    trial.verify(numbers[0])
    for number in numbers:
        full.verify(number)
    assert len(set(full.verified.values())) == 6
    with pytest.raises(ValueError, match=r"E\.164"):
        full.verify("alice")


@pytest.mark.parametrize(("running", "refused"), [(0, False), (1, False), (2, True), (3, True)])
def test_there_is_room_until_the_limit_is_reached(running, refused):
    account = record(calls_at_once=2)
    if refused:
        with pytest.raises(Refusal, match="2 at once"):
            account.require_room(running)
    else:
        account.require_room(running)
    record().require_room(10_000)


@pytest.mark.parametrize(
    ("regime", "fields", "running", "code", "words"),
    [
        ("off", {"status": "suspended"}, 0, 10003, "inactive account"),
        ("off", {"voiceless": (OWN,)}, 0, None, "text messages only"),
        ("blocked", {"type": "Trial"}, 0, None, "not verified"),
        ("off", {"calls_at_once": 1}, 1, 10004, "1 calls already"),
    ],
)
def test_call_to_the_account_is_turned_away_in_words(regime, fields, running, code, words):
    account = record(regime, **fields)
    refusal = account.refuse_incoming(ALICE, account.own(OWN), running)
    assert refusal.code == code
    assert words in str(refusal)
    assert "The call was not put through" in str(refusal)


def test_call_to_the_account_is_let_through_otherwise():
    for account in (
        record(),
        record(calls_at_once=1),
        record("announcement", type="Trial"),
        record("blocked", type="Trial", verified=(ALICE,)),
    ):
        assert account.refuse_incoming(ALICE, account.own(OWN), 0) is None


def test_refusals_can_be_taken_by_many_threads_and_each_only_once():
    account = record()
    account.refuse_next(20503, times=100)
    taken = []

    def take():
        while (refusal := account.take_refusal()) is not None:
            taken.append(refusal)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len({id(refusal) for refusal in taken}) == 100


def test_nothing_secret_is_in_the_repr():
    account = record()
    secrets = account.credentials
    shown = repr(account) + repr(account.settings) + repr(account.numbers)
    for secret in (secrets.auth_token, secrets.api_secret, secrets.test_token):
        assert secret not in shown
