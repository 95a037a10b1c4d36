// Ticks, keys and live rows of the list of torrents.
'use strict';

(() => {
  const part = () => document.getElementById('list');
  const rows = () => [...part().querySelectorAll('tbody tr')];
  const tickOf = (row) => row.querySelector('input[name="t"]');
  const all = () => part().querySelector('input[name="all"]');
  let anchor = ''; // the id of the row that was ticked last

  // count says how many ticks there are. “All” is ticked only while each row is, so that it never means a row that came later.
  function count() {
    const boxes = rows().map(tickOf);
    const n = boxes.filter((box) => box.checked).length;
    if (all()) {
      all().checked = n > 0 && n === boxes.length;
      all().indeterminate = n > 0 && n < boxes.length;
    }
    const output = document.getElementById('ticked');
    if (!output) return;
    output.dataset.none ??= output.textContent;
    const text = n ? output.dataset.text.replace('{0}', n) : output.dataset.none;
    if (output.textContent !== text) output.textContent = text;
  }

  function tickTo(row, checked) {
    const list = rows();
    const from = list.findIndex((other) => other.id === anchor);
    const to = list.indexOf(row);
    list.slice(Math.min(from, to), Math.max(from, to) + 1).forEach((other) => (tickOf(other).checked = checked));
  }

  document.addEventListener('click', (event) => {
    const row = event.target.closest?.('#list tbody tr');
    if (!row || event.target.closest('a, button')) return;
    const box = tickOf(row);
    const onBox = event.target === box;
    if (!onBox && !event.shiftKey && !event.ctrlKey && !event.metaKey) return;
    const range = event.shiftKey && document.getElementById(anchor);
    if (!onBox) box.checked = range ? true : !box.checked;
    if (range) tickTo(row, box.checked);
    anchor = row.id;
    count();
  });

  // Shift marks rows here, and not text.
  document.addEventListener('mousedown', (event) => {
    if (event.shiftKey && event.target.closest?.('#list tbody tr')) event.preventDefault();
  });

  document.addEventListener('change', (event) => {
    if (event.target.matches?.('#list input[name="all"]')) rows().forEach((row) => (tickOf(row).checked = event.target.checked));
    count();
  });

  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.matches?.('input:not([type="checkbox"]), select, textarea');
    if (event.key === '/' && !typing) {
      event.preventDefault();
      document.getElementById('q')?.select();
    } else if (event.key === 'Escape' && !typing) {
      rows().forEach((row) => (tickOf(row).checked = false));
      count();
    }
  });

  // The live rows are those of the address, which filter, sort and pages change. app.js leaves its stream when the page is
  // hidden and follows the one of the address when it is seen again.
  let address = location.pathname + location.search;

  function moved() {
    count();
    const here = location.pathname + location.search;
    if (here === address) return;
    address = here;
    document.body.dataset.feed = here;
    document.querySelector('.bottom input[name="back"]').value = here;
    dispatchEvent(new Event('pagehide'));
    document.dispatchEvent(new Event('visibilitychange'));
  }

  // What has no list in it, such as an error, is a page of its own.
  document.addEventListener('htmx:before:swap', (event) => {
    const { request, response } = event.detail.ctx;
    if (!response || response.status < 400) return;
    event.preventDefault();
    location.assign(request.action);
  });

  document.addEventListener('htmx:after:history:push', moved);
  document.addEventListener('htmx:after:swap', moved);
  document.addEventListener('shoal:part', () => {
    // The first torrent of an empty library brings what the page lacked.
    if (!document.getElementById('bulk') && part().querySelector('table')) location.reload();
    else count();
  });
  count();
})();
