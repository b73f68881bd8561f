"""Addresses of streams with a password, each malformed in its own way."""

MALFORMED = [
    "wss://me:hunter2@exa mple.com/m",
    "wss://me:hunter2 @example.com/m",
    "wss://me:hunter2@host{0}/m",
    "wss://me:hun/hunter2@example.com/m",
    "wss://me:hunter2@host:99999/m",
    "wss://me:hunter2@[::1/m",
    "wss://me:hunter2\uff20example.com/m",
    "wss://me:hunter2@/m",
    "wss:/me:hunter2@example.com/m",
    "me:hunter2@example.com/m",
    "//me:hunter2@example.com/m",
    "https://me:hunter2@example.com/m",
    "ws://me:hunter2@example.com/m",
    "wss://me:hunter2@example.com/m?x=1",
]
