// A button that copies a command or some code, without the line break at its end.
for (const block of document.querySelectorAll(
  ".highlight-sh .highlight, .highlight-python .highlight",
)) {
  const text = block.textContent.trimEnd();
  const button = document.createElement("button");
  button.className = "copy";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 2000);
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
