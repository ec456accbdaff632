// Pictures and frames of clips go to POST /detect with the lowest confidence of the slider; what
// comes back is drawn here, so that moving the slider asks for nothing.

const LOWEST = 0.05;          // of the slider
const CLIP_SECONDS = 20, CLIP_RATE = 5;
const SIDE = 1280;            // of a frame of a clip, in pixels
const MAX_BYTES = 20e6;       // as the server's limit
const SERVED = ["image/jpeg", "image/png", "image/webp", "image/bmp"];
const COLORS = ["#006e00", "#003cb4", "#c83c00", "#8c008c", "#007878", "#965a00"];

const at = (id) => document.getElementById(id);
const [drop, file, photo, login, token, stop] =
  ["drop", "file", "photo", "login", "token", "stop"].map(at);
const [confidence, shownConfidence, frames, frame, shownFrame, status, results] =
  ["confidence", "shown-confidence", "frames", "frame", "shown-frame", "status", "results"].map(at);

let shots = [];               // {url, time_s, answers} of each frame
let run = 0;                  // which choice is being looked at: a newer one ends it
let touched = false;          // the slider was moved; before that it shows the model's own confidence
let refused = null;           // what was chosen when the server asked for its token
const labels = [];            // in the order of their colors

at("seconds").textContent = CLIP_SECONDS;
at("rate").textContent = CLIP_RATE;
if (location.hash.startsWith("#token=")) {
  sessionStorage.setItem("token", decodeURIComponent(location.hash.slice(7)));
  history.replaceState(null, "", location.pathname);
}
showConfidence();

for (const input of [file, photo]) {
  input.addEventListener("change", () => {
    if (input.files[0]) look(input.files[0]);
    input.value = "";         // the same file may be chosen again
  });
}
document.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
document.addEventListener("dragleave", () => drop.classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  if (event.dataTransfer.files[0]) look(event.dataTransfer.files[0]);
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files[0]) look(event.clipboardData.files[0]);
});
confidence.addEventListener("input", () => { touched = true; showConfidence(); show(); });
frame.addEventListener("input", show);
stop.addEventListener("click", () => { run += 1; stop.hidden = true; say("Stopped."); });
login.addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", token.value.trim());
  login.hidden = true;
  if (refused) look(refused);
});

// Look at a picture or at the frames of a clip.
async function look(chosen) {
  const own = ++run;
  for (const shot of shots) URL.revokeObjectURL(shot.url);
  shots = [];
  refused = null;
  results.replaceChildren();
  frames.hidden = true;
  say("Looking …");
  try {
    if (chosen.type.startsWith("video/")) await lookAtClip(chosen, own);
    else await lookAtPicture(chosen, own);
  } catch (error) {
    if (own !== run) return;
    stop.hidden = true;
    if (error.status === 401) askForToken(chosen);
    else say(error.message, true);
  }
}

async function lookAtPicture(picture, own) {
  const served = SERVED.includes(picture.type) && picture.size <= MAX_BYTES;
  const bytes = served ? picture : await converted(picture);
  const answers = await ask(bytes, own);
  if (own !== run) return;
  add(bytes, 0, answers);
  say("");
}

// Convert what only the browser can decode, or what is too large, to a JPEG.
async function converted(picture) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(picture);
  } catch {
    throw new Error(`${picture.name || "This file"} is no picture and no clip that this browser can open.`);
  }
  return jpeg(bitmap, bitmap.width, bitmap.height, 4096);
}

function jpeg(image, width, height, side) {
  const scale = Math.min(1, side / Math.max(width, height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
}

async function lookAtClip(clip, own) {
  const video = document.createElement("video");
  video.muted = video.playsInline = true;
  video.preload = "auto";
  video.src = URL.createObjectURL(clip);
  try {
    await once(video, "loadeddata", `${clip.name || "This clip"} cannot be decoded by this browser.`);
    const end = Math.min(video.duration || CLIP_SECONDS, CLIP_SECONDS);
    const count = Math.max(1, Math.floor(end * CLIP_RATE));
    stop.hidden = false;
    say(`Looking at ${count} frames …`);
    for (let number = 0; number < count && own === run; number += 1) {
      await seek(video, number / CLIP_RATE);
      const bytes = await jpeg(video, video.videoWidth, video.videoHeight, SIDE);
      const answers = await ask(bytes, own);
      if (own !== run) return;
      add(bytes, number / CLIP_RATE, answers);
    }
    stop.hidden = true;
    say(`${count} frames were looked at.`);
  } finally {
    URL.revokeObjectURL(video.src);
    video.removeAttribute("src");
  }
}

function once(target, name, problem) {
  return new Promise((done, fail) => {
    const failed = () => fail(new Error(problem));
    target.addEventListener(name, done, { once: true });
    target.addEventListener("error", failed, { once: true });
    setTimeout(failed, 15000);
  });
}

async function seek(video, time_s) {
  if (video.currentTime === time_s) return;
  const seeked = once(video, "seeked", "The clip cannot be read any further.");
  video.currentTime = time_s;
  await seeked;
}

// Send a picture; return a list with the answer of each model. A busy server is asked again.
async function ask(bytes, own) {
  const known = sessionStorage.getItem("token");
  const headers = { "Content-Type": bytes.type, ...(known && { Authorization: `Bearer ${known}` }) };
  for (let attempt = 1; ; attempt += 1) {
    let response;
    try {
      response = await fetch(`/detect?confidence=${LOWEST}`, { method: "POST", headers, body: bytes });
    } catch {
      throw new Error("The server does not answer. Is it still running?");
    }
    if (response.ok) {
      const first = await response.json();
      return first.compare ? [first, first.compare] : [first];
    }
    const busy = [429, 503].includes(response.status);
    if (!busy || attempt === 10 || own !== run) {
      const problem = await response.json().catch(() => ({ error: `status ${response.status}` }));
      throw Object.assign(new Error(`The server refused: ${problem.error}.`), { status: response.status });
    }
    await new Promise((done) => setTimeout(done, 1000 * (response.headers.get("Retry-After") || 1)));
  }
}

function askForToken(chosen) {
  const wrong = sessionStorage.getItem("token");
  refused = chosen;
  login.hidden = false;
  token.value = "";
  token.focus();
  say(wrong ? "The server knows another token." : "The server asks for its token.", true);
}

function add(bytes, time_s, answers) {
  if (!touched && !shots.length) {
    confidence.value = Math.max(LOWEST, answers[0].confidence);
    showConfidence();
  }
  for (const { label } of answers.flatMap((answer) => answer.detections)) {
    if (!labels.includes(label)) labels.push(label);
  }
  const last = frame.valueAsNumber >= shots.length - 1;  // somebody may be looking at an earlier one
  shots.push({ url: URL.createObjectURL(bytes), time_s, answers });
  frame.max = shots.length - 1;
  if (last) frame.value = shots.length - 1;
  frames.hidden = shots.length < 2;
  show();
}

// Draw the chosen frame with the boxes that reach the chosen confidence.
function show() {
  const shot = shots[frame.valueAsNumber];
  if (!shot) return;
  shownFrame.textContent = `${frame.valueAsNumber + 1} of ${shots.length}, ${shot.time_s.toFixed(1)} s`;
  while (results.children.length < shot.answers.length) {
    results.append(at("result").content.cloneNode(true));
  }
  results.classList.toggle("two", shot.answers.length > 1);
  shot.answers.forEach((answer, index) => showAnswer(results.children[index], shot.url, answer));
}

function showAnswer(article, url, answer) {
  const part = (selector) => article.querySelector(selector);
  const found = answer.detections.filter((box) => box.score >= confidence.valueAsNumber);
  const named = found.map((box) => `${box.label} ${box.score.toFixed(2)}`);
  const count = `${found.length} ${found.length === 1 ? "object" : "objects"}`;
  const ms = Object.entries(answer.steps_ms).filter(([step]) => step !== "decode");
  const total = ms.reduce((sum, [, value]) => sum + value, 0);
  part("h2").textContent = answer.model;
  part(".found").textContent = count;
  part(".ms").textContent =
    `${total.toFixed(1)} ms: ${ms.map(([step, value]) => `${step} ${value.toFixed(1)}`).join(", ")}`;
  part("svg").setAttribute("aria-label", `${answer.model}: ${count}. ${named.join(", ")}`);
  part("tbody").replaceChildren(...found.map(row));
  const image = part("img");
  image.onload = () => draw(part("svg"), image, found);
  if (image.src !== url) image.src = url;
  else if (image.complete) image.onload();
}

function row(box) {
  const line = document.createElement("tr");
  const corners = box.box_xyxy.map((value) => Math.round(value)).join(", ");
  for (const text of [box.label, box.score.toFixed(2), corners]) {
    line.append(Object.assign(document.createElement("td"), { textContent: text }));
  }
  return line;
}

// Positions are shares of the picture, so that boxes stay right when the window changes.
function draw(svg, image, found) {
  const shares = [image.naturalWidth, image.naturalHeight, image.naturalWidth, image.naturalHeight];
  svg.replaceChildren();
  for (const box of [...found].reverse()) {   // the best one on top
    const [x0, y0, x1, y1] = box.box_xyxy.map((value, index) => (100 * value) / shares[index]);
    const place = { x: `${x0}%`, y: `${y0}%`, width: `${x1 - x0}%`, height: `${y1 - y0}%` };
    const color = COLORS[labels.indexOf(box.label) % COLORS.length];
    svg.append(shape("rect", { ...place, class: "edge" }));
    svg.append(shape("rect", { ...place, class: "box", stroke: color }));
    caption(svg, `${box.label} ${box.score.toFixed(2)}`, x0, y0, color);
  }
}

// Write a caption above a box, or inside where there is no room, and never past the right edge.
function caption(svg, words, x, y, color) {
  const text = shape("text", {});
  text.textContent = words;
  svg.append(text);
  const [width, height] = [text.getComputedTextLength() + 10, 20];
  const left = Math.max(0, Math.min((x / 100) * svg.clientWidth, svg.clientWidth - width));
  const top = (y / 100) * svg.clientHeight;
  const base = top > height ? top - height : top;
  const share = (value, whole) => `${(100 * value) / whole}%`;
  const place = { x: share(left, svg.clientWidth), y: share(base, svg.clientHeight) };
  svg.insertBefore(shape("rect", { ...place, width, height, rx: 3, fill: color }), text);
  for (const [name, value] of Object.entries({ ...place, dx: 5, dy: 14.5 })) text.setAttribute(name, value);
}

function shape(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function showConfidence() {
  shownConfidence.textContent = confidence.valueAsNumber.toFixed(2);
}

function say(words, bad = false) {
  status.textContent = words;
  status.classList.toggle("bad", bad);
}
