"""Twilio's side of a call, on this machine."""
