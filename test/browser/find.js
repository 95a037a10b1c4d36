// Finds what a person means: by what is written on it or beside it. The answer is the element, or a sentence that says why there is none.
(kind, text, scope) => {
  const words = (s) => (s || "").replace(/\s+/g, " ").trim();
  const kinds = {
    field: "input:not([type=hidden],[type=checkbox],[type=radio],[type=file],[type=submit],[type=button],[type=reset],[type=image]),textarea",
    box: "input[type=checkbox],input[type=radio],[role=switch],[role=checkbox]",
    choice: "select",
    file: "input[type=file]",
    press: "button,input[type=submit],input[type=button],input[type=reset],summary,a[href],[role=button],[role=tab],[role=menuitem]",
    link: "a[href]",
  };
  const shown = (e) => e.checkVisibility({ visibilityProperty: true, contentVisibilityAuto: true }) &&
    [...e.getClientRects()].some((r) => r.width > 0 && r.height > 0) && !e.closest("[inert]");
  // Boxes and file inputs may be hidden behind a label that is drawn in their place.
  const place = (e) => shown(e) ? e : kind === "box" || kind === "file" ? [...(e.labels || [])].find(shown) : undefined;
  const labelText = (label) => {
    const copy = label.cloneNode(true);
    copy.querySelectorAll("input,select,textarea,button").forEach((e) => e.remove());
    return copy.textContent;
  };
  const names = (e) => {
    const ids = (e.getAttribute("aria-labelledby") || "").split(/\s+/).filter(Boolean);
    const all = [ids.map((id) => document.getElementById(id)?.textContent || "").join(" "), e.getAttribute("aria-label")];
    all.push(...[...(e.labels || [])].map(labelText));
    if (e.matches("input[type=submit],input[type=button],input[type=reset]")) all.push(e.value);
    if (!e.matches("input,select,textarea")) all.push(e.innerText, e.textContent, ...[...e.querySelectorAll("img")].map((i) => i.alt));
    all.push(e.getAttribute("placeholder"), e.title);
    return all.map(words).filter(Boolean);
  };
  const dialogs = document.querySelectorAll("dialog:modal");
  const roots = scope ? [...document.querySelectorAll(scope)] : dialogs.length ? [dialogs[dialogs.length - 1]] : [document];
  if (scope && !roots.length) return `nothing matches ${scope}`;
  const selector = kinds[kind] || text;
  const candidates = [...new Set(roots.flatMap((r) => [...r.querySelectorAll(selector)]))].filter(place);
  let found = candidates;
  if (kinds[kind]) {
    const tests = [(n) => n === text, (n) => n.startsWith(text), (n) => n.includes(text)];
    found = tests.map((t) => candidates.filter((e) => names(e).some(t))).find((l) => l.length) || [];
    if (!found.length) {
      const seen = candidates.map((e) => names(e)[0] || e.outerHTML.slice(0, 60)).slice(0, 30);
      return `there is none named so, but: ${seen.map((s) => JSON.stringify(s)).join(", ") || "nothing"}`;
    }
    // A logo and an entry of the menu may lead to the same page.
    if (found.every((e) => e.href && e.href === found[0].href)) found = found.slice(0, 1);
    if (found.length > 1) return `${found.length} are named so: ${found.slice(0, 3).map((e) => e.outerHTML.slice(0, 100)).join(" ")}`;
  }
  if (!found.length) return "there is none that can be seen";
  return found[0];
}
