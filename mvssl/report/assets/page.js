"use strict";

// Beside what is pointed at, never beyond the edge of its figure.
function place(tip, figure, x, y) {
  tip.hidden = false;
  const left = x + 14 + tip.offsetWidth > figure.clientWidth ? x - tip.offsetWidth - 14 : x + 14;
  tip.style.left = `${Math.max(4, Math.min(left, figure.clientWidth - tip.offsetWidth - 4))}px`;
  tip.style.top = `${Math.max(4, y - tip.offsetHeight / 2)}px`;
}

function added(parent, name, kind, text) {
  const one = document.createElement(name);
  one.className = kind;
  if (text !== undefined) one.textContent = text;
  parent.append(one);
  return one;
}

function watch(figure, svg, show) {
  const tip = added(figure, "div", "tip");
  tip.hidden = true;
  const move = (event) => {
    const box = svg.getBoundingClientRect(), outer = figure.getBoundingClientRect();
    const scale = svg.viewBox.baseVal.width / box.width;
    tip.replaceChildren();
    const at = show(tip, (event.clientX - box.left) * scale, (event.clientY - box.top) * scale);
    if (!at) { tip.hidden = true; return; }
    const [x, y] = at;
    place(tip, figure, box.left - outer.left + x / scale, box.top - outer.top + y / scale);
  };
  svg.addEventListener("pointermove", move);
  svg.addEventListener("pointerdown", move);
  svg.addEventListener("pointerleave", () => { tip.hidden = true; show(null); });
}

for (const figure of document.querySelectorAll("[data-chart]")) {
  const held = JSON.parse(figure.dataset.chart);
  const cursor = figure.querySelector(".cursor");
  watch(figure, figure.querySelector("svg"), (tip, x, y) => {
    const inside = tip && x >= held.left - 8 && x <= held.right + 8;
    const at = inside ? Math.min(Math.max(x, held.left), held.right) : -9;
    cursor.setAttribute("x1", at);
    cursor.setAttribute("x2", at);
    if (!inside) return null;
    const epoch = held.end * (at - held.left) / (held.right - held.left);
    added(tip, "div", "soft", `epoch ${epoch.toFixed(held.end < 10 ? 2 : 1)}`);
    for (const curve of held.curves) {
      let best = 0;
      curve.x.forEach((one, n) => {
        if (Math.abs(one - at) < Math.abs(curve.x[best] - at)) best = n;
      });
      const line = added(tip, "div", "");
      added(line, "i", `swatch ${curve.tone}${curve.reference ? " reference" : ""}`);
      line.append(`${curve.label} `);
      added(line, "b", "", curve.v[best]);
    }
    return [at, y];
  });
}

for (const figure of document.querySelectorAll("[data-map]")) {
  const held = JSON.parse(figure.dataset.map);
  const dots = [...figure.querySelectorAll("circle")];
  let on = null;
  watch(figure, figure.querySelector("svg"), (tip, x, y) => {
    if (on) on.classList.remove("on");
    on = null;
    if (!tip) return null;
    let best = -1, least = 18 ** 2;
    held.x.forEach((one, n) => {
      const away = (one - x) ** 2 + (held.y[n] - y) ** 2;
      if (away < least) { best = n; least = away; }
    });
    if (best < 0) return null;
    on = dots[best];
    on.classList.add("on");
    const thumb = added(tip, "div", "thumb");
    const column = best % held.columns, row = Math.floor(best / held.columns);
    const rows = Math.ceil(held.x.length / held.columns);
    thumb.style.cssText = "width: 96px; height: 96px; image-rendering: auto";
    thumb.style.backgroundImage = getComputedStyle(figure).getPropertyValue("--sheet");
    thumb.style.backgroundSize = `${96 * held.columns}px ${96 * rows}px`;
    thumb.style.backgroundPosition = `${-96 * column}px ${-96 * row}px`;
    added(tip, "div", "", held.names[best]);
    if (held.groups[best]) added(tip, "div", "soft", held.groups[best]);
    return [held.x[best], held.y[best]];
  });
}

// A page of a run that was killed would say for ever that it is under way.
for (const place of document.querySelectorAll("[data-written]")) {
  const minutes = Math.round((Date.now() / 1000 - Number(place.dataset.written)) / 60);
  const ago = minutes < 1 ? "just now"
    : minutes < 120 ? `${minutes} min ago` : `${Math.round(minutes / 60)} h ago`;
  place.textContent = `${place.textContent} (${ago})`;
}
