import pytest

from twistream_kit.simulator.model.assumptions import Behaviour
from twistream_kit.simulator.rest.account import SimulatedAccount, reconcile

SIX = tuple(f"+1555010000{digit}" for digit in range(6))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"type": "Paid"}, "one of 'Full', 'Trial'"),
        ({"status": "asleep"}, "one of 'active', 'suspended', 'closed'"),
        ({"verified": ("alice",)}, r"E\.164"),
        ({"blocklist": (15550100001,)}, r"E\.164"),
        ({"type": "Trial", "verified": SIX}, "a trial account can verify 5"),
        ({"blocked_countries": frozenset({"Germany"})}, "ISO codes.* DE "),
        ({"blocked_countries": frozenset({"ZZ"})}, "ISO codes"),
        ({"calls_at_once": -1}, "whole number or None"),
        ({"calls_at_once": 1.5}, "whole number or None"),
        ({"clock_ahead_seconds": float("nan")}, "at most ten years"),
        ({"clock_ahead_seconds": float("inf")}, "at most ten years"),
        ({"clock_ahead_seconds": "60"}, "at most ten years"),
    ],
)
def test_impossible_accounts_are_refused_in_words(fields, words):
    with pytest.raises(ValueError, match=words):
        SimulatedAccount(**fields)


@pytest.mark.parametrize("name", ["verified", "blocklist", "voiceless"])
def test_one_number_in_place_of_a_tuple_is_refused_with_the_tuple_written_out(name):
    with pytest.raises(TypeError, match=r"\('\+15550100001',\)"):
        SimulatedAccount(**{name: "+15550100001"})


@pytest.mark.parametrize(
    ("fields", "limit"),
    [
        ({}, None),
        ({"type": "Trial"}, 5),
        ({"type": "Trial", "calls_at_once": 2}, 2),
        ({"calls_at_once": 0}, 0),
    ],
)
def test_trial_account_has_five_calls_at_once_and_a_full_one_any_number(fields, limit):
    assert SimulatedAccount(**fields).call_limit == limit


def test_trial_account_is_under_the_rules_of_2026_unless_set_otherwise():
    trial = SimulatedAccount(type="Trial")
    assert reconcile(trial, None)[1].trial == "blocked"
    assert reconcile(trial, Behaviour(trial="announcement"))[1].trial == "announcement"


def test_rules_for_trials_make_the_account_a_trial_and_change_nothing_else():
    account = SimulatedAccount(blocklist=("+15550100001",))
    agreed, behaviour = reconcile(account, Behaviour(trial="announcement", latency_ms=100))
    assert (agreed.type, agreed.blocklist) == ("Trial", account.blocklist)
    assert behaviour == Behaviour(trial="announcement", latency_ms=100)
    assert reconcile(None, None) == (SimulatedAccount(), Behaviour())
