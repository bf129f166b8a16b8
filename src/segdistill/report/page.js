"use strict";

// The slider changes one custom property, which every mask in the gallery takes its opacity from.
const slider = document.getElementById("opacity");
const shownValue = document.getElementById("opacity-value");

function showOpacity() {
  document.documentElement.style.setProperty("--mask-opacity", String(slider.value / 100));
  shownValue.textContent = `${slider.value}\u00a0%`;
}

if (slider && shownValue) {
  slider.addEventListener("input", showOpacity);
  // Browsers keep the slider's place over a reload.
  showOpacity();
}
