// The arrows of the navigation have no words of their own; a screen reader says what they open.
for (const arrow of document.querySelectorAll("summary:has(> .toctree-toggle)")) {
  const page = arrow.closest("li")?.querySelector(":scope > a");
  arrow.setAttribute("aria-label", "Pages below " + (page ? page.textContent.trim() : "this page"));
}
