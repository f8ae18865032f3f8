// The page of `curate review`. All paths are relative to the address that holds the token.
"use strict";

const PAGE = 60;
const ZOOM = 6; // of the loupe, in pixels of the screen for each pixel of the image
const at = (id) => document.getElementById(id);

const list = { query: [], offset: 0, total: 0, rows: [], current: -1 };
let state = null;
let loading = 0; // serial number of the list asked for last
let serial = 0; // of the image shown, so that a late answer about another one is dropped

async function ask(path, body) {
  const options = body === undefined ? {} : { method: "POST", body: JSON.stringify(body), priority: "high" };
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("the server doesn't answer: curate review has ended");
  }
  const value = await answer.json().catch(() => ({ error: `status ${answer.status}` }));
  if (!answer.ok) throw new Error(value.error || `status ${answer.status}`);
  return value;
}

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function complain(error) {
  at("trouble").textContent = error ? error.message : "";
}

async function attempt(work) {
  complain(null);
  try {
    return await work();
  } catch (error) {
    complain(error);
    return null;
  }
}

const imagePath = (id, view = "") => `api/images/${encodeURIComponent(id)}${view && "/" + view}`;
const percent = (share) => (100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0);

// --- the list

async function load(offset, place) {
  const parameters = new URLSearchParams(list.query);
  parameters.set("offset", offset);
  parameters.set("limit", PAGE);
  const mine = ++loading;
  const page = await ask(`api/images?${parameters}`);
  if (mine !== loading) return;
  Object.assign(list, { offset, total: page.total, rows: page.rows, current: -1 });
  drawGrid();
  if (!page.rows.length) return;
  await show(place === "last" ? page.rows.length - 1 : 0);
}

function drawGrid() {
  at("total").textContent = `${list.total.toLocaleString("en")} image${list.total === 1 ? "" : "s"}`;
  const last = list.offset + list.rows.length;
  at("where").textContent = list.rows.length ? `${list.offset + 1} to ${last}` : "none";
  at("earlier").disabled = list.offset === 0;
  at("later").disabled = last >= list.total;
  at("grid").replaceChildren(...list.rows.map(drawCell));
}

function drawCell(row, place) {
  const button = element("button", undefined, { type: "button" });
  if (row.has_bytes) {
    // a browser has six connections: thumbnails let the large picture and verdicts go first
    const picture = element("img", undefined, { alt: "", loading: "lazy", fetchpriority: "low" });
    picture.src = imagePath(row.id, "thumbnail");
    picture.addEventListener("error", () => {
      row.has_bytes = false;
      picture.replaceWith(absent());
      mark(button, row, place);
    });
    button.append(picture);
  } else {
    button.append(absent());
  }
  button.addEventListener("click", () => attempt(() => show(place)));
  const item = element("li");
  item.append(button);
  mark(button, row, place);
  return item;
}

const absent = () => element("span", "no picture", { class: "none", "aria-hidden": "true" });

function mark(button, row, place) {
  button.querySelector(".mark")?.remove();
  const facts = [`Image ${list.offset + place + 1}`, row.new_category || row.category, row.reason, row.verdict, !row.has_bytes && "no picture"];
  button.setAttribute("aria-label", facts.filter(Boolean).join(", "));
  button.classList.toggle("dropped", row.verdict === "drop");
  if (row.verdict) button.append(element("span", row.verdict, { class: "mark", "aria-hidden": "true" }));
  button.setAttribute("aria-current", place === list.current ? "true" : "false");
}

function markAll() {
  at("grid").querySelectorAll("button").forEach((button, place) => mark(button, list.rows[place], place));
}

// --- one image

async function show(place) {
  const row = list.rows[place];
  if (!row) return;
  list.current = place;
  markAll();
  const mine = ++serial;
  const address = imagePath(row.id, "picture");
  complain(null);
  at("look-heading").textContent = `Image ${list.offset + place + 1} of ${list.total}: ${row.id}`;
  at("category").value = "";
  draw(at("picture"), row.has_bytes && address, mine);
  draw(at("spectrum"), null, mine);
  const details = await ask(imagePath(row.id));
  if (mine !== serial) return;
  drawFacts(details);
  drawVerdict(details.verdict);
  if (details.note || !row.has_bytes) complain(new Error(details.note || "no bytes of this image were kept"));
}

function prefetch() {
  const next = list.rows[list.current + 1];
  if (!next?.has_bytes) return;
  const picture = new Image();
  picture.fetchPriority = "low";
  picture.src = imagePath(next.id, "picture");
}

function draw(picture, address, mine) {
  picture.hidden = true;
  if (!address) return picture.removeAttribute("src");
  picture.onload = () => {
    if (mine !== serial) return;
    picture.hidden = false;
    if (picture.id !== "picture") return;
    settle();
    draw(at("spectrum"), imagePath(list.rows[list.current].id, "spectrum"), mine);
    prefetch();
  };
  picture.onerror = async () => {
    if (mine !== serial || picture.id !== "picture") return;
    await attempt(() => ask(address)); // the answer says why
  };
  picture.src = address;
  return null;
}

function settle() {
  const picture = at("picture");
  picture.style.width = `${picture.naturalWidth / window.devicePixelRatio}px`;
  const row = list.rows[list.current];
  picture.alt = `Image ${row.id}, ${row.new_category || row.category || "without a category"}`;
  const frame = at("frame");
  frame.scrollTo((frame.scrollWidth - frame.clientWidth) / 2, (frame.scrollHeight - frame.clientHeight) / 2);
  drawLoupe();
}

function drawFacts(details) {
  const isText = ({ value }) => typeof value !== "number";
  const facts = [...details.facts].sort((one, other) => isText(one) - isText(other));
  const rows = facts.map(({ name, value, unit, meaning }) => {
    const line = element("tr");
    const head = element("th", name, { scope: "row", title: meaning });
    const text = typeof value === "number" && !Number.isInteger(value) ? String(Number(value.toPrecision(5))) : String(value);
    const cell = element("td");
    if (name === "url" && details.link) {
      cell.append(element("a", text, { href: details.link, rel: "noreferrer noopener nofollow", target: "_blank" }));
    } else {
      cell.textContent = unit && unit !== "1" ? `${text} ${unit}` : text;
    }
    line.append(head, cell);
    return line;
  });
  at("facts").replaceChildren(...rows);
}

function drawVerdict(verdict) {
  const words = verdict ? [verdict.verdict, verdict.category && `as ${verdict.category}`, `by ${verdict.by}`, verdict.when, verdict.why] : [];
  at("given").textContent = verdict ? words.filter(Boolean).join(" · ") : "no verdict yet";
}

function drawCounts(counts) {
  const parts = Object.entries(counts).map(([verdict, count]) => `${count.toLocaleString("en")} ${verdict}`);
  at("counts").textContent = `${state.images.toLocaleString("en")} images · ${parts.join(" · ")} · as ${state.by}`;
}

async function step(by) {
  const place = list.current + by;
  if (list.rows[place]) return show(place);
  if (place < 0 && list.offset > 0) return load(Math.max(list.offset - PAGE, 0), "last");
  if (place >= list.rows.length && list.offset + list.rows.length < list.total) return load(list.offset + PAGE);
  return null;
}

// --- verdicts

let writing = Promise.resolve(); // verdicts are written one after another, however fast the keys are

function give(verdict, category) {
  const row = list.rows[list.current];
  if (!row) return;
  const why = at("why").value.trim();
  at("why").value = "";
  const body = { id: row.id, verdict, ...(category && { category }), ...(why && { why }) };
  writing = writing.then(async () => {
    try {
      note(await ask("api/verdicts", body));
    } catch (error) {
      // back to the image that has no verdict after all
      const place = list.rows.indexOf(row);
      if (place >= 0) await show(place).catch(() => null);
      complain(new Error(`no verdict on ${row.id}: ${error.message}`));
    }
  });
  attempt(() => step(1));
}

function undo() {
  writing = writing.then(() => attempt(async () => {
    const taken = await ask("api/undo", {});
    note(taken);
    const place = list.rows.findIndex((row) => row.id === taken.id);
    if (place >= 0) await show(place);
  }));
}

function note(answer) {
  drawCounts(answer.counts);
  const row = list.rows.find(({ id }) => id === answer.id);
  if (row) {
    row.verdict = answer.verdict?.verdict ?? null;
    row.new_category = answer.verdict?.category ?? null;
    markAll();
    if (list.rows[list.current] === row) drawVerdict(answer.verdict);
  }
  if (at("bounded").open) attempt(drawBounds);
}

// --- samples near each bound

async function drawBounds() {
  const { bounds } = await ask("api/bounds");
  at("bounds").replaceChildren(...bounds.map((bound) => {
    const line = element("tr");
    line.append(element("th", `${bound.name} = ${bound.value}`, { scope: "row" }));
    for (const side of ["outside", "inside"]) {
      const sample = bound[side];
      const cell = element("td");
      const button = element("button", `${sample.judged} of ${sample.drawn}`, { type: "button" });
      button.setAttribute("aria-label", `Judge ${side} ${bound.name}: ${sample.judged} of ${sample.drawn} judged`);
      button.disabled = !sample.drawn;
      button.addEventListener("click", () => choose([["sample", `${side}.${bound.name}`]]));
      cell.append(button);
      const share = sample.share;
      const text = share ? `${percent(share.likely)} % (${percent(share.low)}\u2013${percent(share.high)})` : "\u2013";
      line.append(cell, element("td", text));
    }
    return line;
  }));
}

// --- filters

function choose(query) {
  list.query = query;
  const chips = query.map(([name, value], place) => {
    const button = element("button", `${name} ${value || "none"} \u00d7`, { type: "button" });
    button.setAttribute("aria-label", `Remove the filter ${name} ${value}`);
    button.addEventListener("click", () => choose(list.query.filter((_, other) => other !== place)));
    const item = element("li");
    item.append(button);
    return item;
  });
  at("active").replaceChildren(...chips);
  return attempt(() => load(0));
}

function readFilters() {
  const query = new Map(list.query.filter(([name]) => name !== "sample"));
  const set = (name, value) => (value === "" ? query.delete(name) : query.set(name, value));
  for (const name of Object.keys(state.choices)) {
    const value = at(`choice-${name}`).value;
    if (value === "all") query.delete(name);
    else query.set(name, value === "none" ? "" : value.slice(1));
  }
  set("text", at("text").value.trim());
  set("find", at("find").value.trim());
  set("verdict", at("verdict").value);
  set("sort", at("sort").value && (at("descending").checked ? "-" : "") + at("sort").value);
  if (at("measure").value) {
    const least = at("least").value, most = at("most").value;
    if (least !== "" || most !== "") {
      set(`min.${at("measure").value}`, least);
      set(`max.${at("measure").value}`, most);
    }
  }
  return [...query];
}

function drawChoices() {
  const fields = Object.entries(state.choices).map(([name, values]) => {
    const label = element("label", `${name[0].toUpperCase()}${name.slice(1)} `);
    const select = element("select", undefined, { id: `choice-${name}` });
    select.append(element("option", "all", { value: "all" }), element("option", "none", { value: "none" }));
    select.append(...values.map((value) => element("option", value, { value: `=${value}` })));
    label.append(select);
    return label;
  });
  at("choices").replaceChildren(...fields);
  const names = state.numbers.map(({ name }) => element("option", name, { value: name }));
  at("measure").append(...names.map((option) => option.cloneNode(true)));
  at("sort").append(...names);
  at("category").append(...state.categories.map((name) => element("option", name, { value: name })));
  at("find-field").hidden = !state.searchable;
  at("bounded").hidden = !state.bounded;
}

// --- the loupe

let spot = null; // the pointer, as shares of the picture

function drawLoupe() {
  const loupe = at("loupe"), picture = at("picture");
  loupe.hidden = at("loupe-switch").getAttribute("aria-pressed") !== "true" || picture.hidden;
  if (loupe.hidden) return;
  const side = Math.round(loupe.clientWidth * window.devicePixelRatio);
  loupe.width = loupe.height = side;
  const frame = at("frame").getBoundingClientRect(), box = picture.getBoundingClientRect();
  const centre = { x: (frame.left + frame.width / 2 - box.left) / box.width, y: (frame.top + frame.height / 2 - box.top) / box.height };
  const { x, y } = spot || centre;
  const pen = loupe.getContext("2d");
  pen.imageSmoothingEnabled = false;
  const shown = side / ZOOM;
  pen.drawImage(picture, x * picture.naturalWidth - shown / 2, y * picture.naturalHeight - shown / 2, shown, shown, 0, 0, side, side);
}

function press(id) {
  const button = at(id);
  const pressed = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(pressed));
  return pressed;
}

// --- everything at hand

const actions = {
  k: () => give("keep"),
  d: () => give("drop"),
  r: () => at("category").focus(),
  u: undo,
  n: () => attempt(() => step(1)),
  p: () => attempt(() => step(-1)),
  f: () => { at("frame").classList.toggle("fit", press("fit")); drawLoupe(); },
  l: () => { press("loupe-switch"); drawLoupe(); },
};

function listen() {
  const buttons = { keep: "k", drop: "d", undo: "u", next: "n", previous: "p", fit: "f", "loupe-switch": "l" };
  for (const [id, key] of Object.entries(buttons)) at(id).addEventListener("click", actions[key]);
  at("category").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && at("category").value) { event.preventDefault(); relabel(); }
  });
  // with a pointer a choice is meant at once; with keys every arrow would be one, so Enter decides
  let pointed = false;
  at("category").addEventListener("pointerdown", () => { pointed = true; });
  at("category").addEventListener("keydown", () => { pointed = false; });
  at("category").addEventListener("change", () => pointed && at("category").value && relabel());
  at("earlier").addEventListener("click", () => attempt(() => load(Math.max(list.offset - PAGE, 0))));
  at("later").addEventListener("click", () => attempt(() => load(list.offset + PAGE)));
  at("filters").addEventListener("submit", (event) => { event.preventDefault(); choose(readFilters()); });
  at("clear").addEventListener("click", () => { at("filters").reset(); choose([]); });
  at("bounded").addEventListener("toggle", () => at("bounded").open && attempt(drawBounds));
  at("frame").addEventListener("scroll", drawLoupe);
  at("frame").addEventListener("pointermove", (event) => {
    const box = at("picture").getBoundingClientRect();
    spot = { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height };
    drawLoupe();
  });
  at("frame").addEventListener("pointerleave", () => { spot = null; drawLoupe(); });
  document.addEventListener("keydown", (event) => {
    const { target } = event;
    if (event.ctrlKey || event.altKey || event.metaKey || !at("keys").checked) return;
    if (target.matches("input:not([type=checkbox]), select, textarea")) {
      if (event.key === "Escape") target.blur();
      return;
    }
    let key = event.key.toLowerCase();
    if (target.id !== "frame") key = { arrowright: "n", arrowleft: "p" }[key] || key;
    if (!(key in actions)) return;
    event.preventDefault();
    // a key that is held down must not judge images that nobody has seen
    if (!event.repeat || !"kdu".includes(key)) actions[key]();
  });
}

function relabel() {
  give("relabel", at("category").value);
  at("category").blur();
}

async function start() {
  state = await ask("api/state");
  at("title").textContent = state.title;
  document.title = `Review of ${state.title}`;
  drawCounts(state.counts);
  drawChoices();
  listen();
  await load(0);
}

attempt(start);
