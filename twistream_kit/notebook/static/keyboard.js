// Shares the keyboard and the focus between a widget and Jupyter.
//
// A chord (Ctrl, Alt, Meta, or Shift+Enter) is Jupyter's and never presses anything here.  A single
// key is the widget's while the focus is in it: Jupyter's own single keys delete cells (d d) and
// restart the kernel (0 0).  A click gives the focus back to the cell that had it, so that the next
// Shift+Enter runs that cell; a key that presses a button leaves the focus on the button.

const SUPPRESS = "data-lm-suppress-shortcuts"; // read by JupyterLab's keyboard handler
const MODIFIERS = ["Alt", "Control", "Meta", "Shift"];
const PRESSED = "button, input[type=range], input[type=file], label, select";

const isChord = (event) =>
  !event.getModifierState?.("AltGraph") && // types a character; Windows reports it as Ctrl+Alt
  (event.ctrlKey || event.metaKey || event.altKey || (event.shiftKey && event.key === "Enter"));

const isTyping = (element) =>
  element?.isContentEditable || element?.matches("textarea, select, input:not([type=range])");

// What has the focus, or JupyterLab's active cell if nothing outside of `root` has it.
function findHome(root) {
  const notebook = root.closest(".jp-Notebook");
  const focused = document.activeElement;
  const isOurs = root.contains(focused);
  if (!notebook) return isOurs ? null : focused;
  if (!isOurs && focused !== notebook && notebook.contains(focused)) return focused;
  return notebook.querySelector(".jp-Cell.jp-mod-active") ?? notebook;
}

// With `press`, the widget has keys of its own: `press` gets each single key that is pressed in it,
// and after a click in it also those of the notebook, until another key or another place is used.
// Returns a function that undoes everything.
export function shareKeyboard(root, press) {
  let isOfChord = false, isInHand = false, isFromMouse = false, home = null;

  const goHome = () => {
    const notebook = root.closest(".jp-Notebook");
    (home?.isConnected ? home : notebook)?.focus({ preventScroll: true });
    if (root.contains(document.activeElement)) document.activeElement.blur();
  };

  // An editor that is typed in would take the keys that are meant for a widget with keys of its own.
  const findPlace = () => {
    const found = findHome(root);
    return (press && isTyping(found) && found.closest(".jp-Cell")) || found;
  };

  const beginKey = (event) => {
    isFromMouse = false;
    isOfChord = isChord(event);
    root.toggleAttribute(SUPPRESS, !isOfChord);
  };
  const keepKey = (event) => {
    if (isChord(event) || event.defaultPrevented) return;
    event.stopPropagation();
    if (event.key === "Escape") {
      home = findPlace();
      goHome();
    } else if (!isTyping(event.target)) {
      press?.(event);
    }
  };
  const endKey = () => setTimeout(() => (isOfChord = false)); // a space clicks after its keyup
  const refuseClick = (event) => {
    if (!isOfChord || event.detail > 0) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  };

  // Before JupyterLab, which makes the cell of an output its active one when it is clicked.
  const beginPress = (event) => {
    const isHere = root.contains(event.target) && event.button === 0;
    isFromMouse = isHere && event.target.closest(PRESSED) !== null;
    isInHand = isHere && press !== undefined;
    if (isFromMouse) home = findPlace();
  };
  const keepFocus = (event) => {
    if (!isFromMouse || !event.target.closest("button")) return;
    event.preventDefault();
    setTimeout(goHome);
  };
  const endPress = (event) => {
    if (isFromMouse && event.target.closest("input[type=range]")) setTimeout(goHome);
  };
  const endChoice = () => {
    if (isFromMouse) setTimeout(goHome);
  };

  const takeKey = (event) => {
    if (!isInHand || root.contains(event.target) || MODIFIERS.includes(event.key)) return;
    const isSingle = !isChord(event) && event.key?.length === 1 && event.key !== " ";
    if (!isSingle || isTyping(document.activeElement)) {
      isInHand = false;
      return;
    }
    event.preventDefault();
    event.stopImmediatePropagation();
    press(event);
  };

  const listeners = [
    [root, "keydown", beginKey, true],
    [root, "keydown", keepKey, false],
    [root, "keyup", endKey, true],
    [root, "focusout", endKey, true],
    [root, "click", refuseClick, true],
    [root, "mousedown", keepFocus, true],
    [root, "pointerup", endPress, true],
    [root, "change", endChoice, false],
    [root, "cancel", endChoice, true], // of a file dialog; it does not bubble everywhere
    [window, "pointerdown", beginPress, true],
    [window, "keydown", takeKey, true],
  ];
  for (const [target, ...listener] of listeners) target.addEventListener(...listener);
  root.toggleAttribute(SUPPRESS, true);
  return () => {
    for (const [target, ...listener] of listeners) target.removeEventListener(...listener);
  };
}
