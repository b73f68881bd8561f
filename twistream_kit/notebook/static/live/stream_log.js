// Lists the messages of a call live.  Everything is inserted as text, never as HTML: a message may
// contain anything.

import { hearing } from "../hearing.js";
import { isChord, shareKeys } from "./keys.js";

const WHO = { twilio: "from Twilio", server: "to Twilio" };

const FILTERS = {
  everything: ["Everything", () => true],
  twilio: ["From Twilio", (line) => line.sender === "twilio"],
  server: ["To Twilio", (line) => line.sender === "server"],
  bad: ["Objected to", (line) => line.objections.length > 0],
};

const SEVERITIES = ["error", "warning", "note"];

function make(tag, className, text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.textContent = text;
  return element;
}

function build(el) {
  const root = make("div", "twistream-log");
  const bar = make("div", "twistream-log-bar");
  const [kind, words, progress] = [make("select"), make("input"), make("input")];
  for (const [value, [text]] of Object.entries(FILTERS)) {
    const option = make("option", "", text);
    option.value = value;
    kind.append(option);
  }
  words.type = "search";
  words.placeholder = "mark, clear, a name …";
  progress.type = "checkbox";
  const labelled = (text, control) => {
    const label = make("label", "", text);
    label.append(control);
    return label;
  };
  const save = make("button", "", "Save capture");
  save.type = "button";
  const saved = make("span", "twistream-log-saved");
  saved.setAttribute("role", "status");
  bar.append(
    labelled("Show", kind),
    labelled("containing", words),
    labelled("Progress marks", progress),
    save,
    saved,
  );
  const problems = make("ul", "twistream-log-problems");
  problems.setAttribute("aria-label", "What is wrong, causes first");
  const list = make("ol", "twistream-log-list");
  const media = make("div", "twistream-log-media");
  const state = make("div", "twistream-log-state");
  state.setAttribute("role", "status");
  // Not a live region: if every message was read out, nothing else could be heard.
  const region = make("div", "");
  region.setAttribute("role", "log");
  region.setAttribute("aria-live", "off");
  region.setAttribute("aria-label", "Messages of the call");
  list.setAttribute("aria-label", "Messages, oldest first; Up and Down move, Enter opens one");
  region.append(list, media);
  root.append(bar, problems, region, state);
  el.append(root);
  return { root, kind, words, progress, save, saved, problems, list, media, state };
}

// A severity as a sign, which has its colour, and as a word, which is read out.
function severityOf(severity, signs) {
  const shown = make("strong", "twistream-log-severity");
  shown.style.setProperty("--severity", `var(--${severity})`);
  const sign = make("span", "", signs[severity]);
  sign.setAttribute("aria-hidden", "true");
  shown.append(sign, ` ${severity}`);
  return shown;
}

// Puts the text of a message into `code`, with the fields marked that objections are about, and
// what every message of the stream has, which a closed row leaves out.
function writeMessage(code, line) {
  const places = line.objections.filter(({ place }) => place);
  // Python counts characters; a script counts some of them twice.
  const characters = Array.from(line.text);
  const worst = (at) =>
    SEVERITIES.find((severity) =>
      places.some(({ severity: its, place: [begin, end] }) => its === severity && begin <= at && at < end),
    );
  const isImplied = (at) => line.implied.some(([begin, end]) => begin <= at && at < end);
  const borders = new Set([
    0, characters.length, ...places.flatMap(({ place }) => place), ...line.implied.flat(),
  ]);
  const sorted = [...borders].sort((a, b) => a - b);
  for (let number = 0; number + 1 < sorted.length; number++) {
    const text = characters.slice(sorted[number], sorted[number + 1]).join("");
    const severity = worst(sorted[number]);
    const tag = severity ? "mark" : "span";
    const name = severity ? "twistream-log-field" : isImplied(sorted[number]) && "twistream-log-implied";
    const piece = name ? make(tag, name, text) : document.createTextNode(text);
    if (severity) piece.style.setProperty("--severity", `var(--${severity})`);
    code.append(piece);
  }
}

function buildRow(line, signs) {
  const item = make("li");
  item.style.setProperty("--who", `var(--${line.sender})`);
  const toggle = make("button", "twistream-log-toggle");
  toggle.type = "button";
  toggle.tabIndex = -1;
  const open = make("span", "twistream-log-open");
  open.setAttribute("aria-hidden", "true");
  toggle.append(open, make("time", "", `${line.at.toFixed(2)} s`));
  const count = make("span", "twistream-log-count");
  const event = make("span", "twistream-log-event");
  event.append(count, line.event);
  const code = make("code");
  writeMessage(code, line);
  item.append(toggle, make("span", "twistream-log-who", WHO[line.sender]), event, code);
  if (line.objections.length) {
    const worst = SEVERITIES.find((each) => line.objections.some(({ severity }) => severity === each));
    item.style.setProperty("--severity", `var(--${worst})`);
    item.classList.add("twistream-log-bad");
    const objections = make("ul", "twistream-log-objections");
    for (const { severity, code: number, text } of line.objections) {
      const objection = make("li");
      objection.append(severityOf(severity, signs), `${number ? ` ${number}` : ""}: ${text}`);
      objections.append(objection);
    }
    item.append(objections);
  }
  return { line, item, toggle, count };
}

function setOpen({ line, item, toggle }, isOpen) {
  item.classList.toggle("twistream-log-is-open", isOpen);
  toggle.setAttribute("aria-expanded", isOpen);
  toggle.setAttribute("aria-label", `${line.at.toFixed(2)} s, ${WHO[line.sender]}, ${line.event}: whole message`);
}

function render({ model, el }) {
  const parts = build(el);
  for (const [name, colour] of Object.entries(model.get("colours"))) {
    parts.root.style.setProperty(`--light-${name}`, colour);
  }
  const rows = new Map();
  let follows = true; // scroll to the newest line, until the user scrolls back
  let current = null; // the row that Tab reaches

  const { list } = parts;
  const toEnd = () => {
    if (follows) list.scrollTop = list.scrollHeight;
  };
  const scrolled = () => {
    follows = list.scrollHeight - list.scrollTop - list.clientHeight < 30;
  };
  const isWanted = (line) => {
    if (line.progress && !parts.progress.checked) return false;
    const said = `${WHO[line.sender]} ${line.event} ${line.text}`.toLowerCase();
    return FILTERS[parts.kind.value][1](line) && said.includes(parts.words.value.toLowerCase());
  };
  const shownRows = () => [...rows.values()].filter(({ item }) => !item.hidden);
  const setCurrent = (row) => {
    if (current) current.toggle.tabIndex = -1;
    current = row ?? null;
    if (current) current.toggle.tabIndex = 0;
  };
  const filter = () => {
    for (const { line, item } of rows.values()) item.hidden = !isWanted(line);
    if (!current || current.item.hidden) setCurrent(shownRows()[0]);
    follows = true;
    toEnd();
  };
  const goTo = (row) => {
    if (!row) return;
    row.item.hidden = false;
    setOpen(row, true);
    setCurrent(row);
    follows = false;
    row.item.scrollIntoView({ block: "nearest" });
  };
  const showCounts = () => {
    const counts = model.get("counts");
    for (const [number, { line, count }] of rows) {
      const [times, last] = counts[number] ?? [1, line.at];
      const text = times > 1 ? `${times} × ` : "";
      if (count.textContent !== text) count.textContent = text;
      count.title = times > 1 ? `${times} equal messages, the last at ${last.toFixed(2)} s` : "";
    }
  };
  const showLines = () => {
    const lines = model.get("lines");
    const here = new Set(lines.map(({ number }) => number));
    for (const [number, row] of rows) {
      if (here.has(number)) continue;
      row.item.remove();
      rows.delete(number);
      if (row === current) current = null;
    }
    const signs = model.get("signs");
    for (const line of lines) {
      if (rows.has(line.number)) continue;
      const row = buildRow(line, signs);
      setOpen(row, line.objections.length > 0);
      row.toggle.addEventListener("click", () => {
        setCurrent(row);
        setOpen(row, row.toggle.getAttribute("aria-expanded") !== "true");
      });
      row.item.hidden = !isWanted(line);
      rows.set(line.number, row);
      list.append(row.item);
    }
    if (!current) setCurrent(shownRows()[0]);
    showCounts();
    toEnd();
  };
  const showProblems = () => {
    const signs = model.get("signs");
    const items = model.get("problems").map(({ number, severity, code, text, times }) => {
      const item = make("li");
      const button = make("button", "", "Show");
      button.type = "button";
      button.setAttribute("aria-label", `Show the message: ${text}`);
      button.addEventListener("click", () => goTo(rows.get(number)));
      item.append(severityOf(severity, signs), `${code ? ` ${code}` : ""}: ${times}${text} `, button);
      return item;
    });
    const text = (each) => each.textContent;
    const before = Array.from(parts.problems.children, text).join("\n");
    if (before === items.map(text).join("\n")) return; // the focus stays where it is
    parts.problems.replaceChildren(...items);
    parts.problems.hidden = items.length === 0;
  };
  const showMedia = () => {
    const counts = model.get("media").map(({ sender, text }) => {
      const count = make("span", "", "");
      const who = make("span", "twistream-log-who", `media ${WHO[sender]}: `);
      who.style.setProperty("--who", `var(--${sender})`);
      count.append(who, text);
      return count;
    });
    parts.media.replaceChildren(...counts);
  };
  const showWords = () => {
    if (parts.state.textContent !== model.get("state")) parts.state.textContent = model.get("state");
    if (parts.saved.textContent !== model.get("saved")) parts.saved.textContent = model.get("saved");
  };
  const walk = (event) => {
    const row = [...rows.values()].find(({ toggle }) => toggle === event.target);
    if (!row || isChord(event)) return;
    const shown = shownRows();
    const at = shown.indexOf(row);
    const next = {
      ArrowUp: shown[Math.max(0, at - 1)],
      ArrowDown: shown[Math.min(shown.length - 1, at + 1)],
      Home: shown[0],
      End: shown.at(-1),
    }[event.key];
    if (next) {
      setCurrent(next);
      next.toggle.focus();
    } else if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
      setOpen(row, event.key === "ArrowRight");
    } else return;
    event.preventDefault();
  };

  const shows = {
    lines: showLines, counts: showCounts, problems: showProblems, media: showMedia,
    state: showWords, saved: showWords,
  };
  for (const [name, show] of Object.entries(shows)) model.on(`change:${name}`, show);
  list.addEventListener("scroll", scrolled);
  list.addEventListener("keydown", walk);
  shareKeys(parts.root);
  const resized = new ResizeObserver(toEnd); // called first when the element gets its size
  resized.observe(list);
  parts.kind.addEventListener("change", filter);
  parts.words.addEventListener("input", filter);
  parts.progress.addEventListener("change", filter);
  parts.save.addEventListener("click", () => {
    parts.saved.textContent = "Saving …";
    model.send({ kind: "save" });
  });
  parts.problems.hidden = true;
  for (const show of new Set(Object.values(shows))) show();
  return () => {
    resized.disconnect();
    for (const [name, show] of Object.entries(shows)) model.off(`change:${name}`, show);
  };
}

export default () => hearing({ render });
