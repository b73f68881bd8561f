"""Your side of a call: sockets, clocks and telephone numbers."""
