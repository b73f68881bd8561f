"""The shortest whole call, exactly as it is written where it is promised."""

SNIPPET = """\
import twistream_kit as kit

twilio = kit.start(kit.SimulatedTwilio())                  # Twilio's side, on this machine
server = kit.start(kit.StreamServer(auth_token=twilio.auth_token))   # yours
phone = twilio.phone("+15550100001")                       # answers by itself
client, to, from_ = twilio.client, phone.number, twilio.numbers[0]

call = kit.place_call(client, to=to, from_=from_, stream_url=server.stream_url).result(10)
stream = server.next_stream().result(10)
playing = stream.play(kit.load_clip("../sample_audio/greeting.wav"), mark="greeting")
playing.heard(0.4).result(5)                               # wait for 0.4 s of sound, not for the clock
stream.clear()
playing.result(5)                                          # PlayOutcome(ending='cleared', heard_ms=420, total_ms=4210), give or take a frame
"""  # noqa: E501
