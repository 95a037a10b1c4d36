// The map of a torrent's pieces, a cell for each piece, or for several where there are too many, and where readers are in it.
'use strict';

(() => {
  const canvas = document.querySelector('canvas.pieces[data-pieces]');
  if (!canvas) return;
  const states = 6, missing = 0, partial = 1, now = 2, ahead = 3;
  const every = 2000, height = 180, smallest = 4, largest = 16; // in ms and CSS pixels
  const pieceLength = Number(canvas.dataset.pieceLength);
  const numbers = new Intl.NumberFormat(document.documentElement.lang);
  const context = canvas.getContext('2d');
  const label = canvas.getAttribute('aria-label');

  let pieces = new Uint8Array(Number(canvas.dataset.count)); // a state each
  let etag = '', drawn = '', shown = true, loading = false;
  let grid = { columns: 1, cell: 1, each: 1, cells: 0 };

  // layout finds the largest cells with which all pieces fit, or else how many pieces a cell has to show.
  function layout() {
    const scale = Math.max(1, Math.round(devicePixelRatio || 1));
    const width = Math.max(1, Math.floor(canvas.clientWidth * scale));
    const rowsOf = (cell, count) => Math.ceil(count / Math.max(1, Math.floor(width / cell)));
    let cell = largest * scale, each = 1;
    while (cell > smallest * scale && rowsOf(cell, pieces.length) * cell > height * scale) cell -= scale;
    const columns = Math.max(1, Math.floor(width / cell));
    const rows = Math.max(1, Math.floor(height * scale / cell));
    if (pieces.length > columns * rows) each = Math.ceil(pieces.length / (columns * rows));
    const cells = Math.ceil(pieces.length / each);
    canvas.width = width;
    canvas.height = Math.max(1, Math.ceil(cells / columns)) * cell;
    canvas.style.height = `${canvas.height / scale}px`;
    grid = { columns, cell, each, cells, scale };
  }

  // colors are those of the legend, in the theme that is on.
  function colors() {
    const style = getComputedStyle(document.documentElement);
    return Array.from({ length: states }, (_, i) => {
      const n = parseInt(style.getPropertyValue(`--piece-${i}`).trim().slice(1), 16);
      return [n >> 16 & 255, n >> 8 & 255, n & 255];
    });
  }

  // colorOf is the color of a cell: what moves is seen however many pieces there are in it, the rest is mixed.
  function colorOf(palette, first, last) {
    if (last - first === 1) return palette[pieces[first]];
    const counts = new Array(states).fill(0);
    for (let i = first; i < last; i++) counts[pieces[i]]++;
    for (const state of [now, partial, ahead]) if (counts[state]) return palette[state];
    return [0, 1, 2].map((part) => counts.reduce((sum, n, state) => sum + n * palette[state][part], 0) / (last - first));
  }

  function draw() {
    if (!canvas.clientWidth) return;
    layout();
    const image = context.createImageData(canvas.width, canvas.height);
    const pixels = new Uint32Array(image.data.buffer);
    const palette = colors();
    const { columns, cell, each, cells, scale } = grid;
    const gap = cell >= 6 * scale ? scale : 0;
    for (let i = 0; i < cells; i++) {
      const [red, green, blue] = colorOf(palette, i * each, Math.min((i + 1) * each, pieces.length));
      const pixel = (255 << 24 | blue << 16 | green << 8 | red) >>> 0;
      const left = i % columns * cell, top = Math.floor(i / columns) * cell;
      for (let y = top; y < top + cell - gap; y++) pixels.fill(pixel, y * canvas.width + left, y * canvas.width + left + cell - gap);
    }
    context.putImageData(image, 0, 0);
    const present = readers();
    present.forEach(mark);
    canvas.setAttribute('aria-label', [label, ...present.map(({ client, file }) => `${client}: ${file}`)].join('. '));
  }

  // readers are the rows of the live table that have a place.
  function readers() {
    return [...document.querySelectorAll('#readers tr[data-at]')].map((row) => ({
      piece: Math.min(Math.floor(Number(row.dataset.at) / pieceLength), pieces.length - 1), client: row.dataset.client, file: row.dataset.file,
    }));
  }

  // mark frames the cell that a reader is in, and writes who he is at it.
  function mark({ piece, client, file }) {
    const { columns, cell, each, scale } = grid;
    const at = Math.floor(piece / each), left = at % columns * cell, top = Math.floor(at / columns) * cell;
    const size = 11 * scale, inset = 3 * scale;
    context.lineWidth = 2 * scale;
    context.strokeStyle = '#fff';
    context.strokeRect(left - scale, top - scale, cell + 2 * scale, cell + 2 * scale);
    context.strokeStyle = '#000';
    context.strokeRect(left - 3 * scale, top - 3 * scale, cell + 6 * scale, cell + 6 * scale);
    context.font = `${size}px system-ui, sans-serif`;
    const short = (s, length) => (s.length > length ? `${s.slice(0, length - 1)}…` : s);
    const text = short(`${client} · ${file.split('/').pop()}`, 48);
    const width = context.measureText(text).width + 2 * inset, tall = size + 2 * inset;
    // Below it, or above where there is no room: what is beside it in its row is what he reads next.
    const x = Math.max(0, Math.min(left - 3 * scale, canvas.width - width));
    const below = top + cell + 4 * scale, above = top - 4 * scale - tall;
    const y = below + tall <= canvas.height ? below : Math.max(0, above);
    context.fillStyle = 'rgba(0, 0, 0, 0.8)';
    context.fillRect(x, y, width, tall);
    context.fillStyle = '#fff';
    context.textBaseline = 'middle';
    context.fillText(text, x + inset, y + tall / 2);
  }

  // tell writes the counts of the legend.
  function tell() {
    const counts = new Array(states).fill(0);
    pieces.forEach((state) => counts[state]++);
    document.querySelectorAll('[data-piece-state]').forEach((item) => {
      item.querySelector('.count').textContent = numbers.format(counts[Number(item.dataset.pieceState)]);
    });
  }

  async function load() {
    if (loading) return;
    loading = true;
    const head = document.getElementById('head')?.dataset || {};
    const state = `${head.state} ${head.cached}`;
    try {
      const answer = await fetch(canvas.dataset.pieces, { headers: etag ? { 'If-None-Match': etag } : {} });
      if (answer.status === 200) {
        const body = new Uint8Array(await answer.arrayBuffer());
        etag = answer.headers.get('ETag') || '';
        pieces = body.map((piece) => (piece < states ? piece : missing));
        tell();
        draw();
      }
      if (answer.ok || answer.status === 304) drawn = state;
    } catch { /* the page says that it is not live */ } finally {
      loading = false;
    }
  }

  // Nothing changes in a torrent that is not active, but for what its head tells.
  setInterval(() => {
    const head = document.getElementById('head')?.dataset || {};
    if (document.hidden || !shown) return;
    if (head.state === 'active' || drawn !== `${head.state} ${head.cached}`) load();
  }, every);
  new IntersectionObserver((entries) => { shown = entries.at(-1).isIntersecting; }).observe(canvas);
  let width = 0;
  new ResizeObserver(() => {
    if (canvas.clientWidth === width) return;
    width = canvas.clientWidth;
    draw();
  }).observe(canvas);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
  document.addEventListener('shoal:part', (event) => { if (event.detail === 'readers') draw(); });

  // What is below the pointer.
  canvas.addEventListener('mousemove', (event) => {
    const { columns, cell, each, cells, scale } = grid;
    const i = Math.floor(event.offsetY * scale / cell) * columns + Math.floor(event.offsetX * scale / cell);
    if (i >= cells || event.offsetX * scale >= columns * cell) {
      canvas.title = '';
      return;
    }
    const first = i * each, last = Math.min((i + 1) * each, pieces.length);
    const here = readers().filter(({ piece }) => piece >= first && piece < last).map(({ client, file }) => `\n${client} · ${file}`);
    const range = last - first === 1 ? numbers.format(first) : `${numbers.format(first)}–${numbers.format(last - 1)}`;
    const name = document.querySelector(`[data-piece-state="${pieces[first]}"] .what`)?.textContent;
    canvas.title = range + (last - first === 1 && name ? ` ${name}` : '') + here.join('');
  });

  load();
})();
