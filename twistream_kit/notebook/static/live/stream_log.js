// Lists the messages of a call live.  Everything is inserted as text, never as HTML: a message may
// contain anything.

const WHO = { twilio: "from Twilio", server: "to Twilio" };

const FILTERS = {
  everything: ["Everything", () => true],
  named: ["Without progress marks", (line) => !line.progress],
  twilio: ["From Twilio", (line) => line.sender === "twilio"],
  server: ["To Twilio", (line) => line.sender === "server"],
  bad: ["Objected to", (line) => line.objections.length > 0],
};

function make(tag, className, text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.textContent = text;
  return element;
}

function build(el) {
  const root = make("div", "twistream-log");
  const bar = make("div", "twistream-log-bar");
  const [kind, words] = [make("select"), make("input")];
  for (const [value, [text]] of Object.entries(FILTERS)) {
    const option = make("option", "", text);
    option.value = value;
    kind.append(option);
  }
  words.type = "search";
  words.placeholder = "mark, clear, a name …";
  const labelled = (text, control) => {
    const label = make("label", "", text);
    label.append(control);
    return label;
  };
  const save = make("button", "", "Save capture");
  save.type = "button";
  const saved = make("span", "twistream-log-saved");
  saved.setAttribute("role", "status");
  bar.append(labelled("Show", kind), labelled("containing", words), save, saved);
  const list = make("ol", "twistream-log-list");
  const media = make("div", "twistream-log-media");
  const state = make("div", "twistream-log-state");
  state.setAttribute("role", "status");
  // Not a live region: if every message was read out, nothing else could be heard.
  const region = make("div", "");
  region.setAttribute("role", "log");
  region.setAttribute("aria-live", "off");
  region.setAttribute("aria-label", "Messages of the call");
  list.tabIndex = 0;
  list.setAttribute("aria-label", "Messages, oldest first");
  region.append(list, media);
  root.append(bar, region, state);
  el.append(root);
  return { root, kind, words, save, saved, list, media, state };
}

function row(line) {
  const item = make("li");
  item.style.setProperty("--who", `var(--${line.sender})`);
  item.append(
    make("time", "", `${line.at.toFixed(2)} s`),
    make("span", "twistream-log-who", WHO[line.sender]),
    make("span", "", line.event),
    make("code", "", line.text),
  );
  if (line.objections.length) {
    const objections = make("ul", "twistream-log-objections");
    for (const { severity, code, text } of line.objections) {
      const objection = make("li");
      objection.append(make("strong", "", `${code ? `${code} ` : ""}${severity}: `), text);
      objections.append(objection);
    }
    item.append(objections);
  }
  return item;
}

function render({ model, el }) {
  const parts = build(el);
  for (const [who, colour] of Object.entries(model.get("colours"))) {
    parts.root.style.setProperty(`--light-${who}`, colour);
  }
  const rows = new Map();
  let follows = true; // scroll to the newest line, until the user scrolls back

  const { list } = parts;
  const toEnd = () => {
    if (follows) list.scrollTop = list.scrollHeight;
  };
  const scrolled = () => {
    follows = list.scrollHeight - list.scrollTop - list.clientHeight < 30;
  };
  const isWanted = (line) => {
    const said = `${WHO[line.sender]} ${line.event} ${line.text}`.toLowerCase();
    return FILTERS[parts.kind.value][1](line) && said.includes(parts.words.value.toLowerCase());
  };
  const filter = () => {
    for (const { line, item } of rows.values()) item.hidden = !isWanted(line);
    follows = true;
    toEnd();
  };
  const showLines = () => {
    const lines = model.get("lines");
    const oldest = lines.length ? lines[0].number : Infinity;
    for (const [number, { item }] of rows) {
      if (number >= oldest) break;
      item.remove();
      rows.delete(number);
    }
    for (const line of lines) {
      if (rows.has(line.number)) continue;
      const item = row(line);
      item.hidden = !isWanted(line);
      rows.set(line.number, { line, item });
      list.append(item);
    }
    toEnd();
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
    parts.state.textContent = model.get("state");
    parts.saved.textContent = model.get("saved");
  };

  const shows = { lines: showLines, media: showMedia, state: showWords, saved: showWords };
  for (const [name, show] of Object.entries(shows)) model.on(`change:${name}`, show);
  list.addEventListener("scroll", scrolled);
  const resized = new ResizeObserver(toEnd); // called first when the element gets its size
  resized.observe(list);
  parts.kind.addEventListener("change", filter);
  parts.words.addEventListener("input", filter);
  parts.save.addEventListener("click", () => {
    parts.saved.textContent = "Saving …";
    model.send({ kind: "save" });
  });
  for (const show of new Set(Object.values(shows))) show();
  return () => {
    resized.disconnect();
    for (const [name, show] of Object.entries(shows)) model.off(`change:${name}`, show);
  };
}

export default () => ({ render });
