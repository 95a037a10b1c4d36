// Says where to click to hit an element, or why that is not possible.
(e, kind) => {
  const seen = (x) => x.checkVisibility({ visibilityProperty: true }) && [...x.getClientRects()].some((r) => r.width > 0 && r.height > 0);
  if (e.matches(":disabled") || e.getAttribute("aria-disabled") === "true") return { error: "it is disabled" };
  const target = seen(e) ? e : [...(e.labels || [])].find(seen) || e;
  target.scrollIntoView({ block: "center", inline: "center", behavior: "instant" });
  const rect = [...target.getClientRects()].find((r) => r.width > 0 && r.height > 0);
  if (!rect) return { error: "it has no place on the page" };
  const x = rect.x + rect.width / 2, y = rect.y + rect.height / 2;
  const hit = document.elementFromPoint(x, y);
  if (!hit) return { error: "it is outside of the window" };
  if (!target.contains(hit) && !hit.contains(target) && !e.contains(hit) && ![...(e.labels || [])].some((l) => l.contains(hit))) {
    return { error: "something is in front of it: " + hit.outerHTML.slice(0, 100) };
  }
  return { x, y, checked: !!e.checked || e.getAttribute("aria-checked") === "true" };
}
