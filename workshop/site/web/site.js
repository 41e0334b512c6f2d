// On a phone the headings of a page lie on top of it: after a tap on one, they go away.
addEventListener("hashchange", () => {
  document.getElementById("__toc").checked = false;
});
