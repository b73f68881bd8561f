// The keypad: the keys to click; the view leads the same keys of the keyboard to them.

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
  }

  enable(isEnabled) {
    for (const key of this.keys) key.disabled = !isEnabled;
  }
}
