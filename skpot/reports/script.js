"use strict";
(() => {
  const plots = [...document.querySelectorAll(".js-plotly-plot")];
  const chips = [...document.querySelectorAll(".controls button[data-group]")];
  const rows = [...document.querySelectorAll("[data-group]:not(button)")];
  const names = chips.map((chip) => chip.dataset.group);
  let shown = new Set(names);

  const groupOf = (trace) => (trace.meta && trace.meta.group !== undefined ? trace.meta.group : null);

  function apply() {
    chips.forEach((chip) => chip.setAttribute("aria-pressed", shown.has(chip.dataset.group)));
    rows.forEach((row) => row.classList.toggle("hidden", !shown.has(row.dataset.group)));
    for (const plot of plots) {
      const traces = plot.data.map((trace, k) => [groupOf(trace), k]).filter(([name]) => name !== null);
      if (traces.length) {
        const visible = traces.map(([name]) => (shown.has(name) ? true : "legendonly"));
        Plotly.restyle(plot, { visible }, traces.map(([, k]) => k));
      }
    }
  }

  // The first click shows one group alone; further ones add and remove groups.
  function toggle(name) {
    if (shown.size === names.length) {
      shown = new Set([name]);
    } else if (!shown.delete(name)) {
      shown.add(name);
    }
    if (shown.size === 0) {
      shown = new Set(names);
    }
    apply();
  }

  chips.forEach((chip) => chip.addEventListener("click", () => toggle(chip.dataset.group)));
  const all = document.getElementById("show-all");
  if (all) {
    all.addEventListener("click", () => { shown = new Set(names); apply(); });
  }
  for (const plot of plots) {
    plot.on("plotly_legendclick", (event) => {
      const name = groupOf(event.data[event.curveNumber]);
      if (name === null) {
        return true;
      }
      toggle(name);
      return false;
    });
    plot.on("plotly_legenddoubleclick", () => false);
  }

  // A finger that moves over a figure scrolls the page; a tap shows what a point is.
  if (window.matchMedia("(pointer: coarse)").matches) {
    plots.forEach((plot) => Plotly.relayout(plot, { dragmode: false }));
  }

  // On paper the page is as wide as a sheet; figures are drawn again for it, and back afterwards.
  const redraw = () => plots.forEach((plot) => Plotly.Plots.resize(plot));
  redraw(); // figures were drawn before the page knew the width of its columns
  window.addEventListener("beforeprint", () => { document.body.classList.add("printing"); redraw(); });
  window.addEventListener("afterprint", () => { document.body.classList.remove("printing"); redraw(); });
})();
