// A button that copies a command or some code, without the line break at its end.
for (const block of document.querySelectorAll(
  ".highlight-sh .highlight, .highlight-python .highlight",
)) {
  const text = block.textContent.trimEnd();
  const button = document.createElement("button");
  button.className = "copy";
  const say = (word) => {
    button.textContent = word;
    // A screen reader has to tell the buttons of a page apart.
    button.setAttribute("aria-label", `${word}: ${text.split("\n")[0]}`);
  };
  say("Copy");
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text);
    say("Copied");
    setTimeout(say, 2000, "Copy");
  });
  // Browsers only have a clipboard for pages from the disk or over https.
  if (navigator.clipboard) block.append(button);
}

// The names of the files above a diff aren't changes.
for (const line of document.querySelectorAll(".highlight-diff :is(.gd, .gi)")) {
  if (/^(---|\+\+\+) /.test(line.textContent)) line.className = "gh";
}

// On a phone, the list of headings covers the page. Close it after a tap on a heading.
addEventListener("hashchange", () => {
  document.getElementById("__toc").checked = false;
});

// The menu is longer than the window, so show where in it this page is. Tab would begin
// there after scrollIntoView().
const menu = document.querySelector(".sidebar-scroll");
const entry = document.querySelector(".sidebar-tree .current-page > a");
if (entry) {
  const bottom = (element) => element.getBoundingClientRect().bottom;
  const below = bottom(entry) - bottom(menu);
  if (below > 0) menu.scrollBy({ top: below, behavior: "instant" });
}

// A page that the search has found opens at the word. Sphinx marks it 10 ms after the
// page is there.
addEventListener("load", () => {
  setTimeout(() => {
    const word = document.querySelector("article .highlighted");
    if (!word || location.hash) return;
    word.closest("details")?.setAttribute("open", "");
    word.scrollIntoView({ block: "center" });
  }, 50);
});
