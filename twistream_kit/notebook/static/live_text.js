// A live region that stays in the page while its text changes.  A screen reader reads out changes in
// a region that it knows; ipywidgets' HTML replaces the region, and nothing is read out.

import { hearing } from "./hearing.js";
import { shareKeyboard } from "./keyboard.js";

const BOX = ".twistream-controls, .twistream-workbench";

// Lines are only added at the end and removed at the beginning.  The others are left unchanged, so
// that no line is read out twice.
function renewLines(list, fresh) {
  const text = (items) => Array.from(items, (item) => item.textContent);
  const [old, now] = [text(list.children), text(fresh.children)];
  const stays = (dropped) => old.slice(dropped).every((line, i) => line === now[i]);
  let dropped = 0;
  while (!stays(dropped)) dropped += 1;
  for (let i = 0; i < dropped; i += 1) list.firstElementChild.remove();
  list.append(...Array.from(fresh.children).slice(old.length - dropped));
}

// Sets the attributes of the box around this text that ipywidgets cannot set from Python.
function finish(box, model) {
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", model.get("box_label"));
}

function render({ model, el }) {
  el.classList.add("twistream-live-text");
  el.setAttribute("role", model.get("live"));
  if (model.get("label")) el.setAttribute("aria-label", model.get("label"));
  const show = () => {
    const fresh = document.createElement("template");
    fresh.innerHTML = model.get("value"); // escaped by Python
    const [list, lines] = [el.querySelector("ul"), fresh.content.querySelector("ul")];
    if (list && lines) renewLines(list, lines);
    else el.replaceChildren(fresh.content);
  };
  // A box adds its children to the page one by one; this one may be added before the box itself.
  let release = null;
  const watch = new IntersectionObserver(() => {
    const box = el.closest(BOX);
    if (box && model.get("box_label")) {
      finish(box, model);
      release ??= shareKeyboard(box);
    }
  });
  const rename = () => el.closest(BOX)?.setAttribute("aria-label", model.get("box_label"));
  model.on("change:value", show);
  model.on("change:box_label", rename);
  show();
  watch.observe(el);
  return () => {
    model.off("change:value", show);
    model.off("change:box_label", rename);
    watch.disconnect();
    release?.();
  };
}

export default hearing({ render });
