"use strict";
// What runs at this moment, as the server draws it. Without this, the page is as it was when it came.
const place = document.getElementById("live");
const source = new EventSource("/now/events");
source.addEventListener("now", (event) => {
  place.innerHTML = event.data;
});
source.addEventListener("open", () => place.classList.remove("old"));
source.addEventListener("error", () => place.classList.add("old"));
