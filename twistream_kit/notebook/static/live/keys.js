// The keyboard and the focus of a widget in a notebook, which has shortcuts of its own.

// A chord is Jupyter's: Ctrl+S saves, Shift+Enter runs the cell.
export const isChord = (event) =>
  event.ctrlKey || event.metaKey || event.altKey || (event.shiftKey && event.key === "Enter");

function notebookOf(element) {
  return element.closest(".jp-Cell") ?? element.closest(".jp-Notebook");
}

// Gives the focus back to the notebook, so that its keys work as before.
export function leave(element) {
  notebookOf(element)?.focus({ preventScroll: true });
}

// Keeps single keys in the widget: in Jupyter `d d` deletes the cell.  Chords go to Jupyter; from a
// field of text it would not take Shift+Enter, so it gets that one from the notebook itself.
export function shareKeys(root) {
  root.addEventListener("keydown", (event) => {
    if (!isChord(event)) {
      if (event.key !== "Tab" && event.key !== "Escape") event.stopPropagation();
      return;
    }
    const notebook = notebookOf(root);
    if (!notebook || event.key !== "Enter" || !event.target.matches("input, select, textarea")) return;
    event.preventDefault();
    event.stopPropagation();
    notebook.focus({ preventScroll: true });
    const { key, code, keyCode, shiftKey, ctrlKey, metaKey, altKey } = event;
    const again = { key, code, keyCode, shiftKey, ctrlKey, metaKey, altKey, bubbles: true, cancelable: true };
    notebook.dispatchEvent(new KeyboardEvent("keydown", again));
  });
  // A click by mouse or finger has a count; one by Enter or Space has none, and keeps the focus.
  root.addEventListener("click", (event) => {
    if (event.detail > 0 && event.target.closest("button")) leave(root);
  });
}
