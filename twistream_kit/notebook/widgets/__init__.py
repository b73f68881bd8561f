"""The widgets that show and control a running call.

They are the controls, the telephone, the scope, the log and the settings form.  Nothing here
decides anything about a call; every press becomes a command to `live` or `simulator`.  Begin with
`controls`; `_socket` is the WebSocket between page and kernel.  The scripts of the pages are in
`notebook/static/`, and `_javascript` joins those that are written in parts.
"""
