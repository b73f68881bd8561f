// That a widget hears its kernel, however late its module comes.
//
// In JupyterLab, anywidget (0.11) gives a module two seconds to be imported.  On a page that is busy
// for longer the widget is shown all the same, but of each of the kernel's messages anywidget then
// only says "[anywidget] Failed to initialize model.": the telephone would never ring.

const NOTHING = { content: { data: { method: "" } } };

// Of these the page has emptied its own copy: it is not to be saved with the notebook.
const EMPTIED = ["_address", "_files_address"];

// Wraps a widget, `{ initialize, render }`.
export const hearing = (widget) => ({
  ...widget,
  async initialize(context) {
    const release = await widget.initialize?.(context);
    listen(context.model); // goes on when this has ended
    return release;
  },
});

async function listen({ get, widget_manager: manager }) {
  // Other front ends have a manager without models, or none.
  const model = await manager?.get_model?.(get("_own_id"))?.catch?.(() => null);
  if (typeof model?._handle_comm_msg !== "function" || !model.comm?.on_msg) return;
  try {
    await model._handle_comm_msg(NOTHING);
  } catch {
    hearAgain(model);
  }
}

// Leads the messages past anywidget, and asks for the state, of which some may have been lost.
function hearAgain(model) {
  let kind = model;
  while (kind && !Object.hasOwn(kind, "_handle_comm_msg")) kind = Object.getPrototypeOf(kind);
  const handle = Object.getPrototypeOf(kind)?._handle_comm_msg;
  if (!handle) return;
  for (const name of EMPTIED) {
    if (model.get(name) === "") model.on(`change:${name}`, () => model.set(name, ""));
  }
  model._handle_comm_msg = handle;
  model.comm.on_msg(handle.bind(model));
  model.comm.send({ method: "request_state" }, {});
}
