"""Twilio's codes for REST requests about calls (PROTOCOL.md §5.3)."""

from __future__ import annotations

from twistream_kit.protocol.code_tables import TwilioCode


def _row(
    code: int, name: str, meaning: str, causes: tuple[str, ...], remedy: str, status: int = 400
) -> TwilioCode:
    return TwilioCode(code, name, "error", meaning, causes, remedy, "5.3", status)


_E164 = "Write it in E.164: a plus, the country code, the number, no blanks: +15551234567."
_LATER = "Wait a moment and send the request again; it has not been carried out."

CALL_CODES = (
    _row(
        10001,
        "Account is not active",
        "The account exists but may not act.",
        ("it was suspended or closed", "its balance is used up"),
        "Look at the account in Twilio's console.",
    ),
    _row(
        10004,
        "Concurrency limit exceeded",
        "The account has as many calls at once as it may have.",
        ("calls that nobody ended", "a trial account, which may have five"),
        "End calls that are over (Call.hang_up), or ask for a higher limit.",
    ),
    _row(
        13227,
        "No permission to call this country",
        "The account's geographic permissions do not allow the destination.",
        ("the country is switched off, as most are at first",),
        "Switch it on in the console under Voice, Geo Permissions.",
    ),
    _row(
        20003,
        "Authenticate",
        "Twilio does not accept the credentials.",
        (
            "account SID and auth token belong to different accounts, or have blanks around them",
            "test credentials where live ones are needed",
            "the token was renewed, or the account is suspended",
        ),
        "Copy TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN anew from the console.",
        401,
    ),
    _row(
        20005,
        "Account not active",
        "The account may not make requests.",
        ("it was suspended or closed", "its balance is used up"),
        "Look at the account in Twilio's console.",
    ),
    _row(
        20008,
        "Not available with test credentials",
        "Test credentials can only pretend to create calls and messages and to buy numbers.",
        ("a call was read, changed or listed with test credentials",),
        "Use live credentials, or kit.SimulatedTwilio(), which needs none.",
        403,
    ),
    _row(
        20404,
        "Resource not found",
        "There is nothing under that URL.",
        (
            "the SID is wrong or belongs to another account",
            "a call that has already ended was to be changed",
            "wrong case or a wrong host in the path",
        ),
        "Check the SID; when hanging up, take this as already done.",
        404,
    ),
    _row(
        20422,
        "Invalid parameter",
        "A parameter cannot be used; the request was not carried out.",
        ("a value out of range or of another type",),
        "Read the message, correct the parameter and send it again: nothing has happened yet.",
        422,
    ),
    _row(
        20429,
        "Too many requests",
        "Too many REST requests at once; this one was not carried out.",
        ("a loop that polls without a pause",),
        _LATER,
        429,
    ),
    _row(
        20500,
        "Internal server error",
        "Twilio's API failed.",
        ("a fault inside Twilio",),
        "List the calls before you try again: the call may have been placed.",
        500,
    ),
    _row(
        20503,
        "Service unavailable",
        "Twilio's API cannot take the request now.",
        ("maintenance or overload at Twilio",),
        _LATER,
        503,
    ),
    _row(
        21201,
        "No To number",
        "The request says not whom to call.",
        ("To is missing or empty: an environment variable that is not set",),
        "Give to=, in E.164.",
    ),
    _row(
        21205,
        "Invalid URL",
        "The URL for the TwiML cannot be used.",
        ("it is relative, not http(s), or not public: localhost, a private address",),
        "Give an absolute public https URL, or pass the TwiML inline as kit.place_call does.",
    ),
    _row(
        21206,
        "Invalid SendDigits",
        "SendDigits holds something that is not a key or a pause.",
        ("only 0-9, A-D, #, *, w and W are allowed, 32 at most",),
        "Keep to these characters; w waits half a second.",
    ),
    _row(
        21207,
        "Invalid IfMachine",
        "The value of IfMachine is not known.",
        ("IfMachine is obsolete",),
        "Leave it out; MachineDetection has taken its place.",
    ),
    _row(
        21208,
        "Invalid Timeout",
        "The time to let it ring must be a positive whole number of seconds.",
        ("zero, a negative number or a text",),
        "Give 1 to 600.",
    ),
    _row(
        21209,
        "Invalid Method",
        "A method must be GET or POST.",
        ("another HTTP method, or a misspelt one",),
        "Write GET or POST.",
    ),
    _row(
        21210,
        "From is not yours",
        "You may call only from a number bought at Twilio or verified there.",
        ("a mistyped From", "your own mobile number, not verified yet", "another account's number"),
        "Use a number of this account, or verify yours as a caller ID in the console.",
    ),
    _row(
        21211,
        "Invalid To number",
        "The number to call cannot be a telephone number.",
        ("not in E.164", "the same as From", "a placeholder of an example"),
        _E164,
    ),
    _row(
        21212,
        "Invalid From number",
        "The number to call from cannot be a telephone number.",
        ("not in E.164", "a placeholder of an example"),
        _E164,
    ),
    _row(
        21213,
        "No From number",
        "The request says not from which number to call.",
        ("From is missing or empty: an environment variable that is not set",),
        "Give from_=, one of your Twilio numbers in E.164.",
    ),
    _row(
        21214,
        "To number cannot be reached",
        "The number looks right, but Twilio cannot route a call to it.",
        ("it is not in service", "its network accepts no calls from Twilio"),
        "Call it from an ordinary phone; try another number.",
    ),
    _row(
        21215,
        "No permission to call this country",
        "The account's geographic permissions do not allow the number.",
        ("the country, or this class of numbers in it, is switched off",),
        "Switch it on in the console under Voice, Geo Permissions.",
    ),
    _row(
        21216,
        "Number is blocked",
        "Twilio does not call this number from any account.",
        ("it is on Twilio's own block list",),
        "Call another number, or ask Twilio's support.",
    ),
    _row(
        21217,
        "Number does not appear valid",
        "The number has a shape that no number there has.",
        ("a digit too many or too few", "an area code that does not exist"),
        _E164,
    ),
    _row(
        21218,
        "Invalid ApplicationSid",
        "There is no such TwiML application in this account.",
        ("the SID does not begin with AP", "it belongs to another account"),
        "Copy the SID anew, or pass the TwiML inline as kit.place_call does.",
    ),
    _row(
        21219,
        "To number is not verified",
        "A trial account may call only numbers that were verified.",
        ("the account is a trial account and this number was not verified in its console",),
        "Verify the number in the console, or upgrade. Trial accounts of 2026 refuse <Stream>"
        " altogether: kit.SimulatedTwilio() does not.",
    ),
    _row(
        21220,
        "Invalid call state",
        "The call cannot be changed in the state it is in.",
        ("it has already ended", "it was to be cancelled after it was answered"),
        "Take it as ended; use completed, not canceled, for a call that was answered.",
    ),
)
"""§5.3; HTTP 400 where nothing else is noted."""
