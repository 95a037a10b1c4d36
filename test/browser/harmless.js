// What is wrong with how the page shows the words of strangers: a list of sentences.
((mark) => {
  const wrong = [];
  if (window.hacked !== undefined) wrong.push("a script of a name has run");
  for (const e of document.querySelectorAll("[onerror], [onload], [onmouseover], [onfocus], [hx-get='/x'], a[href^='javascript:']")) {
    wrong.push("a name became an element: " + e.outerHTML.slice(0, 200));
  }
  // Here a text cannot turn what is around it.
  const alone = "bdi, option, textarea, pre, [dir=auto]";
  const controls = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/, turns = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\u0590-\u08ff]/;
  const isolated = /\u2068[^\u202a-\u202e\u2066-\u2069]*\u2069/g;
  const look = (text, where) => {
    const hidden = text.match(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/);
    if (hidden) wrong.push("U+" + hidden[0].charCodeAt(0).toString(16) + " cannot be seen in " + where + ": " + text.slice(0, 200));
  };
  const mayTurn = (text, where, turns) => {
    if (turns.test(text.replace(isolated, ""))) wrong.push("it turns what is around it, in " + where + ": " + escape(text.slice(0, 300)));
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode.data, parent = texts.currentNode.parentElement;
    look(text, parent.tagName);
    if (!parent.closest(alone)) {
      // Sentences of errors, which are English, have words of strangers in quotation marks.
      mayTurn(text, parent.tagName, parent.closest("main [lang=en]") ? controls : turns);
      if (text.includes(mark) && parent.matches("a, td, th, li, h1, h2, dd, strong")) {
        wrong.push("a name without bdi, in " + parent.tagName + ": " + text.slice(0, 200));
      }
    }
  }
  look(document.title, "the title");
  mayTurn(document.title, "the title", turns);
  for (const e of document.querySelectorAll("[title], [aria-label]")) {
    look(e.title, "a title");
    look(e.getAttribute("aria-label") || "", "an aria-label");
  }
  return wrong;
})
