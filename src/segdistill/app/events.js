// User actions are sent to the server as small objects whose "do" is the type of the action.
// Typed text, ticked boxes and the focus are restored when the view is rendered again.
const typed = new Map();
const ticked = new Set();
let focused = null;
let waiting = null;

const send = (action) => {
  const shown = element.querySelector("[data-revision]");
  trigger("action", { ...action, revision: shown ? shown.dataset.revision : null });
};

const chosen = () =>
  [...element.querySelectorAll("[data-pick]:checked")].map((box) => Number(box.dataset.pick));

const countChosen = () => {
  const merge = element.querySelector("#merge");
  if (merge) merge.disabled = chosen().length < 2;
};

element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-do]");
  if (button && !button.disabled) {
    const action = { ...button.dataset };
    if (action.do === "merge_classes") {
      action.indices = action.indices ? action.indices.split(",").map(Number) : chosen();
    }
    // All buttons of the class table change what the indices mean.
    if (element.querySelector("[data-pick]")) ticked.clear();
    send(action);
    return;
  }
  const picture = event.target.closest("[data-point]");
  if (picture) {
    const frame = picture.getBoundingClientRect();
    const x = (event.clientX - frame.left) / frame.width;
    const y = (event.clientY - frame.top) / frame.height;
    focused = "point";
    send({ do: "point", index: picture.dataset.index, x, y });
  }
});

const later = (action) => {
  clearTimeout(waiting);
  waiting = setTimeout(() => send(action), 350);
};

// What a field asks for, with the parameters of the operation.
const edits = {
  name_classes: ({ dataset, value }) => ({ names: { [dataset.index]: value } }),
  colour_classes: ({ dataset, value }) => ({
    colours: { [dataset.index]: value.match(/\w\w/g).map((byte) => parseInt(byte, 16)) },
  }),
  hide_classes: ({ dataset, checked }) => ({ indices: [dataset.index], hide: checked }),
  recluster: ({ value }) => ({ classes: value }),
};

const save = (field) => {
  // Enter is also a change in some browsers.
  if (field.type === "text" && field.dataset.sent === field.value) return;
  field.dataset.sent = field.value;
  typed.delete(field.id);
  delete field.dataset.restored;
  const { edit } = field.dataset;
  const action = { do: edit, ...edits[edit](field) };
  // Arrow keys change a slider on every press, so sending is debounced.
  if (field.type === "range") {
    ticked.clear();
    later(action);
  } else send(action);
};

element.addEventListener("change", (event) => {
  const field = event.target;
  if (field.dataset.pick) {
    if (field.checked) ticked.add(field.id);
    else ticked.delete(field.id);
    countChosen();
  }
  if (field.dataset.edit) save(field);
});

element.addEventListener("input", (event) => {
  const field = event.target;
  if (field.type === "text") typed.set(field.id, field.value);
  if (field.dataset.shows) element.querySelector(`#${field.dataset.shows}`).value = field.value;
});

element.addEventListener("keydown", (event) => {
  const { type, dataset } = event.target;
  if (event.key === "Enter" && type === "text" && dataset.edit) save(event.target);
  if (event.key === "Escape") {
    const close = element.querySelector("[data-escape]");
    if (close) close.click();
  }
  const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[
    event.key
  ];
  const point = event.target.closest("[data-point][data-x]");
  if (!step || !point) return;
  event.preventDefault();
  const moved = [point.dataset.x, point.dataset.y].map((at, axis) =>
    Math.min(1, Math.max(0, Number(at) + step[axis] * 0.02)),
  );
  [point.dataset.x, point.dataset.y] = moved;
  const mark = point.querySelector(".mark");
  [mark.style.left, mark.style.top] = moved.map((at) => `${at * 100}%`);
  later({ do: "point", index: point.dataset.index, x: moved[0], y: moved[1] });
});

element.addEventListener("focusin", (event) => {
  focused = event.target.id || null;
});

element.addEventListener("focusout", (event) => {
  const field = event.target;
  // Browsers fire no change event for a field whose text was restored.
  if (field.dataset.restored && typed.has(field.id)) save(field);
  setTimeout(() => {
    // If the field was replaced, its replacement takes the focus.
    if (field.isConnected && focused === field.id) focused = null;
  });
});

watch("value", () => {
  for (const field of element.querySelectorAll("[data-edit]")) {
    if (field.type === "checkbox") field.checked = field.hasAttribute("checked");
    else if (typed.has(field.id)) {
      field.value = typed.get(field.id);
      field.dataset.restored = "yes";
    } else if (field.tagName !== "SELECT") field.value = field.getAttribute("value");
  }
  for (const box of element.querySelectorAll("[data-pick]")) box.checked = ticked.has(box.id);
  countChosen();
  const before = focused && element.querySelector(`#${CSS.escape(focused)}`);
  const nothing = !document.activeElement || document.activeElement === document.body;
  if (before && nothing) before.focus({ preventScroll: true });
});
