// A telephone on the page: its connection to the kernel, loudspeaker, microphone, keypad and view.
// The default export is a function, called once for each widget: `initialize` and `render` get
// different proxies of the model, so only a closure gives both the same `Telephone`.

import { hearing } from "../hearing.js";
import { Telephone } from "./telephone.js";
import { PhoneView } from "./view.js";

export default () => {
  let telephone;
  return hearing({
    initialize({ model }) {
      telephone = new Telephone(model);
      return () => telephone.release();
    },
    render({ el }) {
      const root = document.createElement("section");
      root.className = "twistream-phone";
      el.classList.add("twistream-phone-box");
      el.append(root);
      const view = new PhoneView(telephone, root);
      telephone.show(view);
      return () => {
        view.close();
        telephone.hide(view);
      };
    },
  });
};
