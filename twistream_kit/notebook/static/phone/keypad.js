// The keypad: keys to click, and the same keys on the keyboard.

const KEYS = ["1", "2 abc", "3 def", "4 ghi", "5 jkl", "6 mno", "7 pqrs", "8 tuv", "9 wxyz", "*", "0", "#"];
const NAMES = { "*": "Star", "#": "Hash" };

export const KEYPAD = `<div class="tp-keys" role="group" aria-label="Keypad">${KEYS.map((key) => {
  const [digit, letters] = key.split(" ");
  return `<button type="button" data-digit="${digit}" aria-label="${NAMES[digit] ?? digit}"
    >${digit}<small>${letters ?? ""}</small></button>`;
}).join("")}</div>`;

export class Keypad {
  constructor(root, press) {
    this.keys = [...root.querySelectorAll("[data-digit]")];
    for (const key of this.keys) key.onclick = () => press(key.dataset.digit);
    root.onkeydown = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "SELECT") return;
      const key = this.keys.find((each) => each.dataset.digit === event.key);
      if (!key || key.disabled) return;
      event.preventDefault();
      key.classList.add("tp-down");
      setTimeout(() => key.classList.remove("tp-down"), 150);
      press(event.key);
    };
  }

  enable(isEnabled) {
    for (const key of this.keys) key.disabled = !isEnabled;
  }
}
