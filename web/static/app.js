// What every page does beside its forms, which work without this.
'use strict';

(() => {
  const body = document.body;

  // Live parts. The page's own address sends parts of it that have become others, as events with their names.
  let feed = null;
  const held = new Map(); // parts that came while somebody was busy in them

  function follow() {
    if (!body.dataset.feed || feed || document.hidden) return;
    feed = new EventSource(feedAddress());
    feed.addEventListener('open', () => offline(false));
    feed.addEventListener('error', () => {
      offline(true);
      if (feed.readyState !== EventSource.CLOSED) return; // it is tried again by itself
      feed = null;
      check();
    });
    for (const name of body.dataset.parts.trim().split(' ')) feed.addEventListener(name, (event) => replace(name, event.data));
  }

  // feedAddress tells, the first time, which parts the page has come with, so that they are not sent again.
  let has = body.dataset.has;
  const first = body.dataset.feed;

  function feedAddress() {
    const address = new URL(body.dataset.feed, location.href);
    if (has && body.dataset.feed === first) address.searchParams.set('has', has);
    has = '';
    return address.href;
  }

  function leave() {
    if (feed) feed.close();
    feed = null;
    held.clear(); // all of it comes again
  }

  // check finds out why the stream was refused: the session may have ended, and the page leads to the login then; or what it shows is
  // no more, which the server says in words.
  async function check() {
    try {
      const answer = await fetch(location.href, { method: 'HEAD', redirect: 'manual' });
      // What the page shows may be gone, too, and the page that comes says so.
      if (answer.type === 'opaqueredirect' || answer.status === 401 || answer.status === 404) location.reload();
      else setTimeout(follow, 5000);
    } catch {
      setTimeout(check, 5000);
    }
  }

  function offline(yes) {
    const note = document.getElementById('offline');
    if (note) note.hidden = !yes;
  }

  function replace(name, html) {
    const old = document.getElementById(name);
    if (!old) return;
    if (writing(old) || selecting(old)) {
      held.set(name, html);
      return;
    }
    held.delete(name);
    if (window.htmx) htmx.swap({ sourceElement: old, target: old, text: html, swap: 'outerMorph' });
    else old.outerHTML = html;
    document.dispatchEvent(new CustomEvent('shoal:part', { detail: name }));
  }

  // release shows what was held back, as it is not sent again until it is another.
  const release = () => [...held].forEach(([name, html]) => replace(name, html));
  document.addEventListener('selectionchange', release);
  document.addEventListener('focusout', () => setTimeout(release)); // when the focus is where it goes

  function writing(element) {
    const active = document.activeElement;
    return element.contains(active) && active.matches('input:not([type="checkbox"]), select, textarea');
  }

  // selecting says whether somebody marks text in there, which would be lost.
  function selecting(element) {
    const selection = getSelection();
    return selection && !selection.isCollapsed && element.contains(selection.anchorNode);
  }

  document.addEventListener('visibilitychange', () => (document.hidden ? leave() : follow()));
  addEventListener('pagehide', leave);
  follow();

  // Copying.
  document.addEventListener('click', async (event) => {
    const button = event.target.closest('button[data-copy]');
    if (!button) return;
    const source = document.getElementById(button.dataset.copy);
    await copy(source);
    button.dataset.before ??= button.textContent; // that it is pressed again while it says so
    button.textContent = body.dataset.copied;
    setTimeout(() => (button.textContent = button.dataset.before), 2000);
  });

  // copy uses what browsers allow without TLS, too, which navigator.clipboard is not.
  async function copy(source) {
    const text = 'value' in source ? source.value : source.textContent;
    if (navigator.clipboard) {
      try {
        await navigator.clipboard.writeText(text);
        return;
      } catch { /* not allowed */ }
    }
    const range = document.createRange();
    range.selectNodeContents(source);
    const selection = getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
    document.execCommand('copy');
    selection.removeAllRanges();
  }

  // Adding by paste and drop, anywhere.
  const add = body.dataset.add;
  if (!add) return;

  const links = (text) => text.split(/[\r\n]+/).map((line) => line.trim()).filter((line) =>
    /^magnet:\?/i.test(line) || /^https?:\/\/\S+$/i.test(line) || /^([0-9a-f]{40}|[0-9a-f]{64}|[a-z2-7]{32})$/i.test(line));

  document.addEventListener('paste', (event) => {
    if (event.target.closest?.('input, textarea, [contenteditable]')) return;
    const files = torrentFiles(event.clipboardData);
    const found = links(event.clipboardData.getData('text'));
    if (!files.length && !found.length) return;
    event.preventDefault();
    preview(found, files);
  });

  document.addEventListener('dragover', (event) => {
    event.preventDefault();
    body.classList.add('drop');
  });
  document.addEventListener('dragleave', (event) => {
    if (!event.relatedTarget) body.classList.remove('drop');
  });
  document.addEventListener('drop', (event) => {
    body.classList.remove('drop');
    const files = torrentFiles(event.dataTransfer);
    const found = links(event.dataTransfer.getData('text/uri-list') || event.dataTransfer.getData('text'));
    if (event.target.closest?.('textarea') && !files.length) return;
    event.preventDefault();
    if (files.length || found.length) preview(found, files);
  });

  function torrentFiles(transfer) {
    return [...(transfer.files || [])].filter((file) => /\.torrent$/i.test(file.name) || file.type === 'application/x-bittorrent');
  }

  // preview hands everything to the page that shows what would be added, as its own form does.
  function preview(found, files) {
    const form = document.createElement('form');
    form.method = 'post';
    form.action = add;
    form.enctype = 'multipart/form-data';
    form.hidden = true;
    const text = document.createElement('textarea');
    text.name = 'links';
    text.value = found.join('\n');
    const input = document.createElement('input');
    input.type = 'file';
    input.name = 'torrent';
    input.multiple = true;
    const transfer = new DataTransfer();
    files.forEach((file) => transfer.items.add(file));
    input.files = transfer.files;
    const action = document.createElement('input');
    action.type = 'hidden';
    action.name = 'do';
    action.value = 'preview';
    form.append(text, input, action);
    body.append(form);
    form.submit();
  }
})();
