"""A front end without a browser: it speaks to a kernel as JupyterLab does.

``button.click()`` runs a button's handler on the thread that says it, so it can never show on
which thread a kernel handles a click, nor whether it waits for the running cell.  Here a click is
a comm message, sent over a kernel's subshell where it has one, as JupyterLab 4.4 and newer do.
"""

from __future__ import annotations

import ast
import contextlib
import queue
import re
import time

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

from support.kernels import MISSES_REQUESTS, connect_once_more
from support.waiting import LIMIT_SECONDS, Patience

SILENT_SECONDS = 5
"""After such a silence, a kernel that misses requests is made to look."""

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class CellError(Exception):
    """A cell raised; the text is the name of the error and what it says."""


class FrontEnd:
    """One kernel, and all that it said so far.

    Attributes:
        models: The state of every widget, by the id of its comm, as the last update left it.
        printed: What was written to stdout and stderr, with the id of the request it belongs to.
        errors: The errors of cells and callbacks, likewise.
        tracebacks: What is shown of them, without colours, likewise.
        shown: The display bundles, likewise.
        outputs: The displays that have an id, by that id, as the last update left them.
    """

    def __init__(self, name, specs, *, subshells=True):
        spec_manager = KernelSpecManager(kernel_dirs=[str(specs / "kernels")])
        self.manager = KernelManager(
            kernel_name=name,
            kernel_spec_manager=spec_manager,
            connection_file=str(specs / f"{name}-{time.monotonic_ns()}.json"),
        )
        self._misses_requests = name.endswith(MISSES_REQUESTS)
        self.manager.start_kernel()
        self._connect(subshells)

    def _connect(self, subshells):
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=LIMIT_SECONDS)
        self.models, self.printed, self.errors, self.shown = {}, [], [], []
        self.outputs = {}
        self._replies, self._idle = {}, set()
        self.tracebacks = []
        self.subshell = self._make_subshell() if subshells else None

    def _make_subshell(self):
        asked = self.client.kernel_info()
        self.wait(lambda: asked in self._replies, "kernel info")
        if "kernel subshells" not in self._replies[asked].get("supported_features", []):
            return None
        request = self.client.session.msg("create_subshell_request", {})
        self.client.control_channel.send(request)
        return self.client.get_control_msg(timeout=LIMIT_SECONDS)["content"]["subshell_id"]

    def forget(self):
        """Forget all that was printed, raised and shown so far."""
        self.printed.clear()
        self.errors.clear()
        self.tracebacks.clear()
        self.shown.clear()
        self.outputs.clear()

    def close(self):
        """Take the kernel away without asking it."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()

    def restart(self):
        """Restart the kernel as the button of a notebook does."""
        self.client.stop_channels()
        self.manager.restart_kernel(now=False)
        self._connect(self.subshell is not None)

    # Cells

    def begin(self, code, **options):
        """Send a cell and do not wait for it; return the id of the request."""
        return self.client.execute(code, **options)

    def begin_and_hold(self, code, release, *, computing=False):
        """Begin a cell that then holds its thread until the file `release` is there.

        With `computing` it computes meanwhile, and sleeps otherwise.
        """
        wait = "sum(range(100))" if computing else "time.sleep(0.02)"
        return self.begin(
            f"{code}\nimport os, time\nlimit = time.monotonic() + {LIMIT_SECONDS}\n"
            f"while not os.path.exists({str(release)!r}) and time.monotonic() < limit: {wait}"
        )

    def run(self, code, seconds=LIMIT_SECONDS):
        """Run a cell to its end; return what it printed."""
        return self.result_of(self.begin(code), seconds)

    def result_of(self, request, seconds=LIMIT_SECONDS):
        """Wait for a cell; return what it printed, or raise what it raised as a `CellError`."""
        self.wait(lambda: self.has_ended(request), "the end of a cell", seconds)
        for parent, error in self.errors:
            if parent == request:
                raise CellError(error)
        return "".join(text for parent, text in self.printed if parent == request)

    def output_of(self, code, seconds=LIMIT_SECONDS):
        """Run a cell; return the lines of all that stands below it, an error included."""
        request = self.begin(code)
        self.wait(lambda: self.has_ended(request), "the end of a cell", seconds)
        shown = [(parent, each["text/plain"]) for parent, each in self.shown]
        parts = [*self.printed, *shown, *self.tracebacks]
        return "\n".join(text for parent, text in parts if parent == request).splitlines()

    def value(self, expression):
        """Return the value of an expression, which must be a literal's."""
        return ast.literal_eval(self.run(f"print(repr({expression}))"))

    def complete(self, code):
        """Return what a tab at the end of `code` offers."""
        request = self.client.complete(code, len(code))
        self.wait(lambda: request in self._replies, "completion")
        return self._replies[request]["matches"]

    def has_ended(self, request):
        """Whether a cell has been answered, and all its output is here.

        After an error the kernel drops what is sent to it before its answer.
        """
        return request in self._replies and request in self._idle

    def has_fallen_idle(self, request):
        """Whether the kernel has said that it is done with a cell.

        It says so in one order with what its widgets say; its answer may overtake them, or be late.
        """
        return request in self._idle

    def status_of(self, request):
        """Return ``ok``, ``error`` or ``aborted``."""
        self.wait(lambda: request in self._replies, "answer to a request")
        return self._replies[request]["status"]

    # Widgets

    def click(self, model_id):
        """Click a button."""
        self._comm(model_id, {"method": "custom", "content": {"event": "click"}})

    def change(self, model_id, **state):
        """Change a widget as a person does with the mouse."""
        self._comm(model_id, {"method": "update", "state": state, "buffer_paths": []})

    def send(self, model_id, content, buffers=()):
        """Send what a widget's page sends by ``model.send``."""
        self._comm(model_id, {"method": "custom", "content": content}, buffers)

    def _comm(self, comm_id, content, buffers=()):
        message = self.client.session.msg("comm_msg", {"comm_id": comm_id, "data": content})
        if self.subshell is not None:
            message["header"]["subshell_id"] = self.subshell
        socket = self.client.shell_channel.socket
        self.client.session.send(socket, message, buffers=[*map(memoryview, buffers)])

    # What the kernel says

    def wait(self, condition, what, seconds=LIMIT_SECONDS):
        """Take in what the kernel says until `condition()` is true; return its value."""
        patience, silence = Patience(seconds), Patience(SILENT_SECONDS)
        while not (result := condition()):
            if patience.is_over():
                raise TimeoutError(f"no {what} within {seconds} s; {self.errors} {self.printed}")
            if self.take_in():
                silence = Patience(SILENT_SECONDS)
            elif self._misses_requests and silence.is_over():
                connect_once_more(self.manager.connection_file)
                silence = Patience(SILENT_SECONDS)
        return result

    def take_in(self):
        """Take in what the kernel says, after waiting a moment; return whether it said anything."""
        n_messages = 0
        with contextlib.suppress(queue.Empty):
            self._note(self.client.get_iopub_msg(timeout=0.02))
            n_messages += 1
        with contextlib.suppress(queue.Empty):
            reply = self.client.get_shell_msg(timeout=0)
            self._replies[reply["parent_header"].get("msg_id")] = reply["content"]
            n_messages += 1
        return n_messages > 0

    def _note(self, message):
        kind, content = message["msg_type"], message["content"]
        parent = message["parent_header"].get("msg_id")
        match kind:
            case "comm_open":
                self.models[content["comm_id"]] = dict(content["data"]["state"])
            case "comm_msg" if content["data"].get("method") == "update":
                self.models[content["comm_id"]].update(content["data"]["state"])
            case "stream":
                self.printed.append((parent, content["text"]))
            case "error":
                self.errors.append((parent, f"{content['ename']}: {content['evalue']}"))
                text = _COLOURS.sub("", "\n".join(content["traceback"]))
                self.tracebacks.append((parent, text))
            case "execute_result" | "display_data":
                self.shown.append((parent, content["data"]))
                if name := content.get("transient", {}).get("display_id"):
                    self.outputs[name] = content["data"]
            case "update_display_data":
                name = content["transient"]["display_id"]
                if name in self.outputs:  # a front end ignores what it has not displayed
                    self.outputs[name] = content["data"]
            case "status" if content["execution_state"] == "idle":
                self._idle.add(parent)
