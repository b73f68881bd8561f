// A live region that stays in the page while its text changes.  Screen readers read out what is
// new in a region they know; ipywidgets' HTML puts a new region in place of the old, which is not.

const BOX = ".twistream-controls";

// Lines are only ever added below and dropped above, so those that stay are left alone: what has
// been read out once is not read out again.
function renewLines(list, fresh) {
  const text = (items) => Array.from(items, (item) => item.textContent);
  const [old, now] = [text(list.children), text(fresh.children)];
  const stays = (dropped) => old.slice(dropped).every((line, i) => line === now[i]);
  let dropped = 0;
  while (!stays(dropped)) dropped += 1;
  for (let i = 0; i < dropped; i += 1) list.firstElementChild.remove();
  list.append(...Array.from(fresh.children).slice(old.length - dropped));
}

// What ipywidgets cannot say from Python about the box in which this text stands.
function finish(box, model) {
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", model.get("box_label"));
  for (const select of box.querySelectorAll("select")) {
    // Arrows and letters choose in it; JupyterLab would go to another cell, cut this one, and so on.
    select.onkeydown = (event) => {
      if (!(event.ctrlKey || event.metaKey || event.altKey)) event.stopPropagation();
    };
  }
}

function render({ model, el }) {
  el.classList.add("twistream-live-text");
  el.setAttribute("role", model.get("live"));
  if (model.get("label")) el.setAttribute("aria-label", model.get("label"));
  const show = () => {
    const fresh = document.createElement("template");
    fresh.innerHTML = model.get("value"); // escaped where it was made
    const [list, lines] = [el.querySelector("ul"), fresh.content.querySelector("ul")];
    if (list && lines) renewLines(list, lines);
    else el.replaceChildren(fresh.content);
  };
  // A box puts its children into the page one after the other, this one before or after its own.
  const watch = new IntersectionObserver(() => {
    const box = el.closest(BOX);
    if (box && model.get("box_label")) finish(box, model);
  });
  model.on("change:value", show);
  show();
  watch.observe(el);
  return () => {
    model.off("change:value", show);
    watch.disconnect();
  };
}

export default { render };
