"use strict";

// The slider changes one custom property, which every mask in the gallery takes its opacity from.
const slider = document.getElementById("opacity");
const shownValue = document.getElementById("opacity-value");

function showOpacity() {
  document.documentElement.style.setProperty("--mask-opacity", String(slider.value / 100));
  shownValue.textContent = `${slider.value}%`;
}

if (slider && shownValue) {
  slider.addEventListener("input", showOpacity);
  // Browsers keep the slider's place over a reload.
  showOpacity();
}

// The switch shows the masks and the legend of one level, and hides those of the others.
const layers = document.querySelectorAll("[data-level]");

function showLevel(name) {
  for (const layer of layers) {
    layer.hidden = layer.dataset.level !== name;
  }
}

for (const choice of document.querySelectorAll("input[name=level]")) {
  choice.addEventListener("change", () => showLevel(choice.value));
  // Browsers keep the choice over a reload.
  if (choice.checked) {
    showLevel(choice.value);
  }
}
