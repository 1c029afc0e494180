// The search page. What is shown is in the address (gallery, model, backend, number of hits, query image), so that it
// can be kept, sent and gone back to; an upload is not, for it is nowhere but here.
"use strict";

const $ = (id) => document.getElementById(id);
const STAGES = ["prepare", "embed", "search", "records", "total"];
let galleries = [];
let query = null; // {id} of an image of the gallery, or {file}
let shownUrl = null; // of the uploaded file's preview, to be released
let running = null; // the AbortController of the search under way

async function ask(path, options) {
  const response = await fetch(path, options);
  const body = await response.json().catch(() => ({}));
  if (response.status === 401) askForKey();
  if (!response.ok) throw new Error(body.detail || `the server answered ${response.status}`);
  return body;
}

// Where keys are on: the key is sent once, and a cookie takes its place that no script can read.
function askForKey() {
  $("sign-in").hidden = false;
  $("search").hidden = $("asked").hidden = $("signed-in").hidden = true;
  $("hits").replaceChildren();
  $("key").focus();
}

function signedIn(session) {
  if (session.keys && !session.key_id) return askForKey();
  $("sign-in").hidden = true;
  $("search").hidden = false;
  $("signed-in").hidden = !session.keys;
  $("who").textContent = session.name || "";
}

async function signIn() {
  const body = JSON.stringify({ key: $("key").value });
  try {
    await ask("/v1/session", { method: "POST", headers: { "Content-Type": "application/json" }, body });
    say("");
    await start();
  } catch (error) { fail(error); } finally { $("key").value = ""; }
}

async function signOut() {
  try {
    await fetch("/v1/session", { method: "DELETE" });
    say("signed out");
    askForKey();
  } catch (error) { fail(error); }
}

function fail(error) {
  $("status").textContent = "";
  $("error").textContent = error.message || String(error);
  $("error").hidden = false;
}

function say(text) {
  $("error").hidden = true;
  $("status").textContent = text;
}

function fill(select, values, wanted) {
  const chosen = values.includes(wanted) ? wanted : values[0];
  select.replaceChildren(...values.map((value) => new Option(value, value, false, value === chosen)));
  select.disabled = values.length < 2;
}

const gallery = () => galleries.find((one) => one.name === $("gallery").value);
const address = (path) => `/v1/galleries/${encodeURIComponent($("gallery").value)}${path}`;

function chooseGallery(model, backend) {
  const live = gallery() ? gallery().live : {};
  fill($("model"), Object.keys(live).sort(), model || (gallery() && gallery().default_model));
  chooseModel(backend);
}

function chooseModel(backend) {
  const live = (gallery() && gallery().live[$("model").value]) || {};
  fill($("backend"), Object.keys(live).sort(), backend || $("backend").value || "faiss");
}

function keepInAddress(push) {
  const said = new URLSearchParams({
    gallery: $("gallery").value, model: $("model").value, backend: $("backend").value, k: $("k").value,
  });
  if (query && query.id) said.set("id", query.id);
  const next = `?${said}`;
  if (next !== location.search) history[push ? "pushState" : "replaceState"](null, "", next);
}

async function search(wanted, { push = true } = {}) {
  if (!$("k").reportValidity()) return;
  if (!Object.keys(gallery() ? gallery().live : {}).length) return fail(new Error("nothing can be searched in this gallery yet"));
  query = wanted;
  keepInAddress(push);
  if (running) running.abort();
  const mine = (running = new AbortController());
  const request = {
    model: $("model").value, backend: $("backend").value, k: Number($("k").value), exclude_self: true,
  };
  const options = { method: "POST", signal: mine.signal };
  if (query.file) {
    options.body = new FormData();
    options.body.set("image", query.file);
    options.body.set("request", JSON.stringify(request));
  } else {
    options.headers = { "Content-Type": "application/json" };
    options.body = JSON.stringify({ ...request, image_id: query.id });
  }
  say("searching …");
  document.body.classList.add("busy");
  const started = performance.now();
  try {
    showQuery();
    show(await ask(address("/search"), options), performance.now() - started);
  } catch (error) {
    if (error.name !== "AbortError") {
      $("hits").replaceChildren();
      $("asked").hidden = true;
      fail(error);
    }
  } finally {
    if (running === mine) document.body.classList.remove("busy");
  }
}

function showQuery() {
  const before = shownUrl;
  shownUrl = query.file ? URL.createObjectURL(query.file) : null;
  $("query").src = shownUrl || address(`/images/${encodeURIComponent(query.id)}/thumbnail?size=512`);
  $("query").alt = query.file ? `the query, ${query.file.name}` : "the query, an image of the gallery";
  if (before) URL.revokeObjectURL(before);
  $("asked").hidden = false;
}

function show(answer, roundTrip) {
  $("hits").replaceChildren(...answer.hits.map(card));
  const facts = [["Model", answer.model], ["Backend", answer.backend]];
  for (const stage of STAGES) {
    if (stage in answer.took_ms) facts.push([stage, `${answer.took_ms[stage].toFixed(1)} ms`]);
  }
  facts.push(["with the network", `${roundTrip.toFixed(0)} ms`]);
  $("facts").replaceChildren(...facts.flatMap(([name, value]) => [made("dt", name), made("dd", value)]));
  const number = answer.hits.length === 1 ? "1 hit" : `${answer.hits.length} hits`;
  say(`${number} from ${answer.model} through ${answer.backend} in ${answer.took_ms.total.toFixed(1)} ms`);
}

function made(tag, text, name) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (name) element.className = name;
  return element;
}

function card(hit) {
  const labels = hit.labels.subcategories.join(", ") || hit.labels.supercategories.join(", ");
  const item = made("li"), button = made("button"), picture = made("img"), about = made("span", undefined, "about");
  button.type = "button";
  button.title = hit.key;
  button.dataset.id = hit.image_id;
  picture.src = hit.thumbnail;
  picture.loading = "lazy";
  picture.alt = `hit ${hit.rank}: ${labels || hit.key}`;
  const bar = made("span", undefined, "bar"), measure = made("progress");
  measure.max = 1;
  measure.value = Math.max(0, hit.similarity);
  measure.setAttribute("aria-label", "similarity");
  bar.append(measure, made("span", hit.similarity.toFixed(3)));
  about.append(bar);
  if (labels) about.append(made("span", labels));
  about.append(made("span", hit.key, "key"));
  button.append(picture, about);
  button.addEventListener("click", () => {
    search({ id: hit.image_id });
    scrollTo({ top: 0 });
  });
  item.append(button);
  return item;
}

async function random() {
  try {
    if (!gallery()) throw new Error("there is no gallery yet: lookalike demo makes one");
    // Of one label first, so that in a large gallery it is not always one of the first images.
    const labels = Object.keys(gallery().labels.subcategory || {});
    const said = new URLSearchParams({ limit: 200 });
    if (labels.length) said.set("filter", JSON.stringify({ field: "subcategory", equals: oneOf(labels) }));
    const { images } = await ask(address(`/images?${said}`));
    if (!images.length) throw new Error("this gallery has no images");
    await search({ id: oneOf(images).image_id });
  } catch (error) { fail(error); }
}

const oneOf = (list) => list[Math.floor(Math.random() * list.length)];

function useFiles(files) {
  const file = [...(files || [])].find((one) => one.type.startsWith("image/")) || (files || [])[0];
  if (file) search({ file });
}

async function start() {
  try {
    signedIn(await ask("/v1/session"));
    if ($("search").hidden) return;
    galleries = await ask("/v1/galleries");
  } catch (error) { return fail(error); }
  if (!galleries.length) return say("There is no gallery yet: lookalike demo makes one.");
  await fromAddress();
}

async function fromAddress() {
  const said = new URLSearchParams(location.search);
  const names = galleries.map((one) => one.name);
  const searchable = galleries.find((one) => Object.keys(one.live).length);
  fill($("gallery"), names, said.get("gallery") || (searchable && searchable.name));
  chooseGallery(said.get("model"), said.get("backend"));
  if (Number(said.get("k")) > 0) $("k").value = said.get("k");
  if (said.get("id")) await search({ id: said.get("id") }, { push: false });
  else if (gallery().num_images) await random();
  else say("This gallery has no images yet.");
}

$("search").addEventListener("submit", (event) => {
  event.preventDefault();
  if (query) search(query); else random();
});
$("random").addEventListener("click", random);
$("sign-in").addEventListener("submit", (event) => { event.preventDefault(); signIn(); });
$("sign-out").addEventListener("click", signOut);
$("image").addEventListener("change", () => { useFiles($("image").files); $("image").value = ""; });
$("gallery").addEventListener("change", () => { chooseGallery(); random(); });
$("model").addEventListener("change", () => { chooseModel(); if (query) search(query); });
$("backend").addEventListener("change", () => { if (query) search(query); });
addEventListener("popstate", fromAddress);
addEventListener("paste", (event) => useFiles(event.clipboardData && event.clipboardData.files));
const hasFiles = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files");
addEventListener("dragover", (event) => { if (hasFiles(event)) { event.preventDefault(); $("drop").hidden = false; } });
addEventListener("dragleave", (event) => { if (!event.relatedTarget) $("drop").hidden = true; });
addEventListener("drop", (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  $("drop").hidden = true;
  useFiles(event.dataTransfer.files);
});
start();
