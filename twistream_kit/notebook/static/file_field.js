// A field for sound files, as a widget of its own.

import { FileChooser } from "./file_chooser.js";
import { hearing } from "./hearing.js";
import { shareKeyboard } from "./keyboard.js";

export default () => {
  let address;
  return hearing({
    initialize({ model }) {
      address = model.get("_files_address");
      model.set("_files_address", ""); // not synchronised with the kernel, and not saved
    },
    render({ model, el }) {
      const root = document.createElement("section");
      const label = model.get("label");
      root.setAttribute("aria-label", label);
      el.append(root);
      const chooser = new FileChooser(model, { root, zone: root, label, address });
      const release = shareKeyboard(root);
      return () => {
        release();
        chooser.close();
      };
    },
  });
};
