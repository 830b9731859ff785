// What pages do by themselves: numbers that follow the deployment, names for hashes, and readings of pictures.
//
// Without it every page works. A file with names is read here and stays here: it is in no request.
"use strict";

const HASH = /^[0-9a-f]{16}$/;

for (const region of document.querySelectorAll("[data-live]")) {
  const button = document.querySelector("[data-pause]");
  let source = null;
  const follow = () => {
    source = new EventSource(region.dataset.live);
    source.onmessage = (message) => {
      // The server's own fragment, in which everything is escaped; the policy of the page runs no script of it.
      const fresh = new DOMParser().parseFromString(message.data, "text/html").body;
      const held = [...region.querySelectorAll("a, [tabindex]")].indexOf(document.activeElement);
      region.replaceChildren(...fresh.childNodes);
      if (held >= 0) region.querySelectorAll("a, [tabindex]")[held]?.focus({ preventScroll: true });
    };
  };
  const pause = () => {
    source?.close();
    source = null;
  };
  if (button) {
    button.hidden = false;
    button.addEventListener("click", () => {
      source ? pause() : follow();
      button.setAttribute("aria-pressed", String(source === null));
      button.textContent = source ? "Pause" : "Go on";
    });
  }
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) pause();
    else if (!source && button?.getAttribute("aria-pressed") !== "true") follow();
  });
  window.addEventListener("pagehide", pause);
  follow();
}

// A chart: the words of the part that is pointed at, or of the hour that the arrow keys lead to.
for (const chart of document.querySelectorAll("[data-chart]")) {
  const reading = chart.parentElement.querySelector("[data-reading]");
  const wordsOf = (part) => part.querySelector("title").textContent;
  const hours = [...chart.querySelectorAll("rect.is-allowed, rect.is-refused")];
  const places = [...new Map(hours.map((part) => [part.getAttribute("x"), part])).entries()]
    .sort((one, other) => one[0] - other[0])
    .map((entry) => entry[1]);
  let at = places.length;
  const show = (part) => {
    chart.querySelector(".is-read")?.classList.remove("is-read");
    part.classList.add("is-read");
    reading.textContent = wordsOf(part);
  };
  chart.addEventListener("pointerover", (event) => {
    if (event.target.tagName === "rect") show(event.target);
  });
  chart.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || !places.length) return;
    event.preventDefault();
    at = Math.min(Math.max(at + step, 0), places.length - 1);
    show(places[at]);
  });
}

// A drawing: the ties of the dot that is pointed at, and what it is in words.
for (const drawing of document.querySelectorAll("[data-drawing]")) {
  const reading = drawing.querySelector("[data-reading]");
  const accounts = [...drawing.querySelectorAll("[data-ties]")];
  const focus = (event) => {
    const dot = event.target.closest("a");
    if (!dot) return;
    const tied = dot.dataset.node === undefined
      ? [dot]
      : accounts.filter((one) => one.dataset.ties.split(" ").includes(dot.dataset.node));
    for (const one of drawing.querySelectorAll(".is-tied")) one.classList.remove("is-tied");
    for (const one of tied) one.classList.add("is-tied");
    const more = dot.dataset.node === undefined ? "" : `; ${tied.length} of the accounts drawn`;
    reading.textContent = dot.querySelector("title").textContent + more;
  };
  drawing.addEventListener("pointerover", focus);
  drawing.addEventListener("focusin", focus);
}

// The lines of a text, as it is read: a file of a million names is never in memory as a whole.
async function* linesOf(stream) {
  let rest = "";
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    yield* lines;
  }
  if (rest) yield rest;
}

// The part of a CSV line behind its first comma, without quotes.
function valueOf(line) {
  const text = line.slice(line.indexOf(",") + 1).replace(/\r$/, "");
  return text.startsWith('"') && text.endsWith('"') ? text.slice(1, -1).replaceAll('""', '"') : text;
}

// A cell of CSV. What a table program would take for a formula is text.
function cell(text) {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

for (const part of document.querySelectorAll("[data-names]")) {
  const input = part.querySelector("input[type=file]");
  const button = part.querySelector("[data-export]");
  const said = part.querySelector("[data-said]");
  let rows = [];
  let names = new Map();
  part.hidden = false;
  input.addEventListener("change", async () => {
    const file = input.files[0];
    if (!file) return;
    said.textContent = "Reading …";
    button.disabled = true;
    const answer = await fetch(part.dataset.names, { credentials: "same-origin" });
    rows = (await answer.text()).trim().split(/\r?\n/);
    const wanted = new Set(rows.slice(1).map((row) => row.slice(0, 16)));
    names = new Map();
    for await (const line of linesOf(file.stream())) {
      const hash = line.slice(0, 16);
      if (line[16] === "," && HASH.test(hash) && wanted.has(hash)) names.set(hash, valueOf(line));
    }
    for (const place of document.querySelectorAll("[data-key]")) {
      place.textContent = names.get(place.dataset.key) ?? "";
    }
    said.textContent = `Names for ${names.size.toLocaleString("en")} of ${wanted.size.toLocaleString("en")} accounts.`;
    button.disabled = false;
  });
  button.addEventListener("click", () => {
    const [head, ...others] = rows;
    const lines = [`name,${head}`, ...others.map((row) => `${cell(names.get(row.slice(0, 16)) ?? "")},${row}`)];
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([lines.join("\r\n") + "\r\n"], { type: "text/csv" }));
    link.download = "actor-with-names.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  });
}
