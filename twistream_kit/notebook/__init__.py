"""What a notebook shows and presses: the background loop, rich displays, plots and widgets.

Nothing here knows rules of the protocol, and nothing below imports it. Begin with
`runtime.background`, where `kit.start` is; `widgets` has the controls, the telephone, the scope
and the log.
"""
