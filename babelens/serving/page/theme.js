// The colours that the reader chose before; loaded ahead of the page, so that it does not flash.
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("babelens-theme");
  } catch {
    // Where nothing may be kept, the system decides.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
