// The Teach tab; follows events.js. Keys answer the question. With a class chosen by its pencil, the
// brush, a click or a line on an image is an answer, too; both views of the tab share the brush.
const root = document.documentElement;
const isMain = Boolean(element.closest("#teaching"));
const BUSY_MILLISECONDS = 5000;
const LEAST_MOVE = 4;
let draft = "";
let isAdding = false;
let busy = 0;
let line = null;

Object.assign(edits, {
  rename_class: ({ dataset, value }) => ({ name: dataset.name, new: value }),
  recolour_class: ({ dataset, value }) => ({
    name: dataset.name,
    colour: value.match(/\w\w/g).map((byte) => parseInt(byte, 16)),
  }),
  change_answer: ({ dataset, selectedOptions: [option] }) => ({
    index: dataset.index,
    verdict: option.dataset.verdict,
    name: option.dataset.name || "",
  }),
});

const part = (id, tag, text) => {
  const found = document.getElementById(id) || document.createElement(tag);
  found.id = id;
  if (!found.isConnected) document.body.append(found);
  if (text !== undefined) found.textContent = text;
  return found;
};

const say = (text) => part("teach-said", "div", text).setAttribute("role", "status");

const showBrush = (hint) => {
  const { brush, brushColour } = root.dataset;
  for (const pencil of document.querySelectorAll("#teaching [data-brush]")) {
    pencil.setAttribute("aria-pressed", String(pencil.dataset.brush === brush));
  }
  const note = part("teach-note", "div");
  note.hidden = !brush && !hint;
  note.replaceChildren();
  if (note.hidden) return;
  if (brush) {
    const swatch = document.createElement("span");
    swatch.className = "swatch";
    swatch.style.background = brushColour;
    const stop = document.createElement("button");
    stop.textContent = "Stop";
    stop.onclick = () => choose(null);
    note.append(swatch, `Correcting with ${brush}: click or draw on any image.`, stop);
  } else {
    note.append(hint);
    setTimeout(() => showBrush(), 4000);
  }
};

const choose = (pencil) => {
  if (!pencil || pencil.dataset.brush === root.dataset.brush) {
    delete root.dataset.brush;
  } else {
    root.dataset.brush = pencil.dataset.brush;
    root.dataset.brushColour = pencil.dataset.colour;
    say(`Correcting with ${pencil.dataset.brush}`);
  }
  showBrush();
};

// A question is answered once, however often a key is pressed before the next one is there.
element.addEventListener(
  "click",
  (event) => {
    const button = event.target.closest("button[data-do=answer]");
    if (!button) return;
    if (Date.now() - busy < BUSY_MILLISECONDS) event.stopImmediatePropagation();
    else {
      busy = Date.now();
      element.querySelector(".card").classList.add("busy");
    }
    // A button that was clicked does not keep Enter for itself; one that was tabbed to does.
    if (event.detail) button.blur();
  },
  { capture: true },
);

const addClasses = () => {
  draft = element.querySelector("[data-names]").value;
  isAdding = true;
  send({ do: "add_classes", names: draft });
};

element.addEventListener("click", (event) => {
  const pencil = event.target.closest("button[data-brush]");
  if (pencil) choose(pencil);
  if (event.target.closest("button[data-add]")) addClasses();
});

element.addEventListener("input", (event) => {
  if (event.target.matches("[data-names]")) draft = event.target.value;
});

// Pixels of the original image, of which the last still lies inside.
const pixels = (frame, x, y) =>
  [[x, frame.dataset.width], [y, frame.dataset.height]].map(([at, side]) =>
    Math.min(Math.max(Math.round(at * side * 10) / 10, 0), side - 0.1),
  );

const at = (event, frame) => {
  const box = frame.getBoundingClientRect();
  return pixels(frame, (event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
};

const stroke = (points) =>
  points.length > 1 ? `M${points.map((point) => point.join(" ")).join("L")}` : `M${points[0].join(" ")}h0.01`;

const draw = ({ frame, points, path }) => {
  path.setAttribute("d", stroke(points));
  path.setAttribute("class", "drawn");
  path.style.stroke = root.dataset.brushColour;
  frame.querySelector("svg").append(path);
};

const give = (frame, points) => {
  send({ do: "draw", image: frame.dataset.image, name: root.dataset.brush, points });
};

const newPath = () => document.createElementNS("http://www.w3.org/2000/svg", "path");

element.addEventListener("pointerdown", (event) => {
  const frame = event.target.closest("[data-draw]");
  if (!frame || event.button) return;
  if (!root.dataset.brush) {
    showBrush("To correct, choose a class by its pencil first.");
    return;
  }
  event.preventDefault();
  frame.setPointerCapture(event.pointerId);
  line = { frame, points: [at(event, frame)], path: newPath(), last: [event.clientX, event.clientY] };
  draw(line);
});

element.addEventListener("pointermove", (event) => {
  // The image may have been replaced under the pointer; what was drawn before counts.
  if (!line || !line.frame.isConnected) return;
  const moved = Math.hypot(event.clientX - line.last[0], event.clientY - line.last[1]);
  if (moved < LEAST_MOVE) return;
  line.last = [event.clientX, event.clientY];
  line.points.push(at(event, line.frame));
  draw(line);
});

element.addEventListener("pointerup", () => {
  if (line) give(line.frame, line.points);
  line = null;
});

element.addEventListener("pointercancel", () => {
  if (line) line.path.remove();
  line = null;
});

// The crosshair of an image, for drawing by keys.
element.addEventListener("keydown", (event) => {
  if (event.target.matches("[data-names]") && event.key === "Enter") {
    if (event.target.type === "text" || event.ctrlKey || event.metaKey) addClasses();
    return;
  }
  const frame = event.target.closest("[data-draw]");
  const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[
    event.key
  ];
  if (!frame || !root.dataset.brush || !(step || event.key === "Enter")) return;
  event.preventDefault();
  const mark = frame.querySelector(".mark");
  const before = [Number(frame.dataset.x || 0.5), Number(frame.dataset.y || 0.5)];
  const [x, y] = before.map((from, axis) =>
    Math.min(1, Math.max(0, from + (step ? step[axis] * 0.02 : 0))),
  );
  Object.assign(frame.dataset, { x, y });
  mark.hidden = false;
  Object.assign(mark.style, { left: `${x * 100}%`, top: `${y * 100}%` });
  if (!step) give(frame, [pixels(frame, x, y)]);
});

const press = (key) => {
  const button = [...element.querySelectorAll("[aria-keyshortcuts]")].find((each) =>
    each.getAttribute("aria-keyshortcuts").split(" ").includes(key),
  );
  if (button) button.click();
  return Boolean(button);
};

const keyOf = (event) => {
  if (event.ctrlKey || event.metaKey) {
    const redo = event.key === "y" || (event.key === "Z" && event.shiftKey);
    return { z: "u" }[event.key] || (redo ? "r" : "");
  }
  return event.altKey ? "" : { " ": "Space" }[event.key] || event.key;
};

const onKey = (event) => {
  if (!element.isConnected) document.removeEventListener("keydown", onKey);
  // Another tab may be open.
  if (!element.isConnected || !element.offsetParent || event.repeat || event.defaultPrevented) return;
  if (event.target.closest("input, textarea, select, [contenteditable=true]")) return;
  const key = keyOf(event);
  const operable = event.target.closest("button, a, summary, [role=tab], [role=slider]");
  if ((key === "Enter" || key === "Space") && operable) return;
  if (key === "Escape") choose(null);
  const digit = /^Digit(\d)$/.exec(event.code);
  if (event.shiftKey && !event.ctrlKey && !event.metaKey) {
    const name = digit ? digit[1] : event.key.toLowerCase();
    const answer = element.querySelector(`[aria-keyshortcuts^="${CSS.escape(name)}"]`);
    const pencil = answer && answer.parentElement.querySelector("[data-brush]");
    if (pencil) choose(pencil);
  } else if (key && press(key)) event.preventDefault();
};

if (isMain) document.addEventListener("keydown", onKey);

watch("value", () => {
  busy = 0;
  const field = element.querySelector("[data-names]");
  // Names that were refused stay, to be corrected.
  if (isAdding && !document.querySelector("#teaching [role=alert]")) draft = "";
  isAdding = false;
  if (field) field.value = draft;
  const brushes = [...document.querySelectorAll("#teaching [data-brush]")];
  const chosenClass = brushes.find((pencil) => pencil.dataset.brush === root.dataset.brush);
  if (!chosenClass) delete root.dataset.brush;
  showBrush();
  const said = element.querySelector("[data-say]");
  if (said && said.dataset.say) say(said.dataset.say);
});
