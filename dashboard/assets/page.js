// What a refresh must not disturb: opened cards keep open and focus stays where it was, because the
// refresh replaces elements. And the page notices when its own server has gone.
(() => {
  const SILENT_AFTER_MS = 10000;
  const opened = new Set();
  let focused = null;
  let refreshed = Date.now();

  document.addEventListener("toggle", ({target}) => {
    const name = target.dataset && target.dataset.keep;
    if (!name || !target.isConnected) return;
    if (target.open) opened.add(name); else opened.delete(name);
  }, true);

  document.addEventListener("focusin", ({target}) => {
    const kept = target.tagName === "SUMMARY" && target.closest("[data-keep]");
    focused = kept ? kept.dataset.keep : null;
  });

  const restore = (root) => {
    for (const element of root.querySelectorAll("details[data-keep]")) {
      if (opened.has(element.dataset.keep)) element.open = true;
      if (element.dataset.keep === focused && document.activeElement === document.body) {
        element.querySelector("summary").focus({preventScroll: true});
      }
    }
  };

  const watchDialog = () => {
    const veil = document.getElementById("veil");
    if (!veil || veil.dataset.watched) return;
    veil.dataset.watched = "yes";
    new MutationObserver(() => {
      if (veil.classList.contains("open")) document.getElementById("reason").focus();
    }).observe(veil, {attributes: true, attributeFilter: ["class"]});
  };

  document.addEventListener("keydown", ({key}) => {
    const cancel = key === "Escape" && document.querySelector(".veil.open .cancel");
    if (cancel) cancel.click();
  });

  new MutationObserver((changes) => {
    watchDialog();
    for (const {target, addedNodes} of changes) {
      const element = target.nodeType === Node.ELEMENT_NODE ? target : target.parentElement;
      if (element && element.closest("#refreshed")) refreshed = Date.now();
      for (const node of addedNodes) if (node.querySelectorAll) restore(node.parentElement || node);
    }
  }).observe(document.documentElement, {childList: true, subtree: true, characterData: true});

  document.addEventListener("visibilitychange", () => { refreshed = Date.now(); });
  setInterval(() => {
    const silent = !document.hidden && Date.now() - refreshed > SILENT_AFTER_MS;
    document.documentElement.classList.toggle("silent", silent);
    // A request that got lost leaves the refresh switched off, for Dash only switches it on with an answer.
    if (silent) window.dash_clientside.set_props("tick", {disabled: false});
  }, 1000);
})();
