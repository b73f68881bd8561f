// The theme wraps wide tables so that they scroll; the keyboard must reach them too.
const reachTables = () => {
  for (const table of document.querySelectorAll(".md-typeset__scrollwrap")) {
    table.tabIndex = 0;
  }
};
addEventListener("load", () => {
  reachTables();
  new MutationObserver(reachTables).observe(document.body, { childList: true, subtree: true });
});
