// A form for missing settings.  The entries are in the fields only: a press sends them once and
// empties all fields, so that no model holds them and no notebook can save them.

import { hearing } from "./hearing.js";

function make(tag, className, text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.textContent = text;
  return element;
}

let numbers = 0; // for the ids of the texts that belong to a field

function makeField({ name, secret }) {
  const row = make("div", "twistream-settings-field");
  const [label, input] = [make("label"), make("input")];
  const [hint, fault] = [make("span", "twistream-settings-hint"), make("span", "twistream-settings-fault")];
  numbers += 1;
  input.id = `twistream-setting-${numbers}`;
  hint.id = `${input.id}-hint`;
  fault.id = `${input.id}-fault`;
  label.htmlFor = input.id;
  input.name = name;
  input.type = secret ? "password" : "text";
  input.autocomplete = "off";
  input.spellcheck = false;
  input.setAttribute("autocapitalize", "off");
  input.setAttribute("aria-describedby", `${hint.id} ${fault.id}`);
  row.append(label, input, hint, fault);
  return { row, label, input, hint, fault };
}

function render({ model, el }) {
  const form = make("form", "twistream-settings");
  form.setAttribute("aria-label", "Settings for a real call");
  form.autocomplete = "off";
  form.noValidate = true;
  const rows = make("div", "twistream-settings-rows");
  const button = make("button", "", "Use these");
  button.type = "submit";
  const words = make("div", "twistream-settings-words");
  words.setAttribute("role", "status");
  form.append(rows, button, words);
  el.append(form);
  const fields = new Map();

  const empty = () => {
    for (const { input } of fields.values()) input.value = "";
  };
  const show = () => {
    const shown = model.get("shown");
    const hadFocus = form.contains(document.activeElement);
    const wanted = new Set(shown.fields.map(({ name }) => name));
    for (const [name, { row, input }] of fields) {
      if (wanted.has(name)) continue;
      input.value = "";
      row.remove();
      fields.delete(name);
    }
    for (const field of shown.fields) {
      if (!fields.has(field.name)) fields.set(field.name, makeField(field));
      const { row, label, input, hint, fault } = fields.get(field.name);
      label.textContent = field.label;
      hint.textContent = field.hint;
      fault.textContent = field.fault;
      input.setAttribute("aria-invalid", String(Boolean(field.fault)));
      if (!row.isConnected) rows.append(row);
    }
    button.hidden = !fields.size;
    words.textContent = shown.words;
    if (!hadFocus) return;
    const next = shown.fields.find(({ fault }) => fault) ?? shown.fields[0];
    if (next) fields.get(next.name).input.focus();
  };
  const press = (event) => {
    event.preventDefault(); // the browser must not submit the form
    const typed = {};
    for (const [name, { input }] of fields) if (input.value) typed[name] = input.value;
    empty();
    words.textContent = "Checking …";
    model.send({ use: typed });
  };
  form.addEventListener("submit", press);
  form.addEventListener("keydown", (event) => {
    // JupyterLab would handle Enter and Escape as its own shortcuts.
    if (!(event.ctrlKey || event.metaKey || event.altKey)) event.stopPropagation();
  });
  model.on("change:shown", show);
  show();
  return () => {
    empty();
    model.off("change:shown", show);
  };
}

export default hearing({ render });
