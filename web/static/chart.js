// Graphs of rates, from what the server has kept, so that a page that was just opened has a past.
'use strict';

(() => {
  const places = document.querySelectorAll('.chart[data-history]');
  if (!window.uPlot) return;
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const rate = (n) => {
    if (n == null) return '–';
    let unit = 0;
    while (n >= 1000 && unit < units.length - 1) { n /= 1024; unit++; }
    return `${n.toFixed(unit && n < 100 ? 1 : 0)} ${units[unit]}/s`;
  };

  places.forEach((place) => {
    let range = '10m', chart = null, timer = 0;
    const columns = ['down_rate', 'up_rate', 'read_rate'];
    const every = { '10m': 2000, '24h': 10000, '30d': 300000 };
    const incrs = Array.from({ length: 44 }, (_, i) => 2 ** i); // between lines, in the units that rates have
    const seconds = { '10m': 600, '24h': 86400, '30d': 30 * 86400 };

    const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

    function draw(data) {
      const times = data.series[columns[0]].map((_, i) => data.start + i * data.step);
      const values = [times, ...columns.map((name) => data.series[name])];
      if (chart) return chart.setData(values);
      const time = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: range === '30d' ? 'short' : undefined, timeStyle: range === '10m' ? 'medium' : range === '24h' ? 'short' : undefined });
      const axis = { stroke: color('--pico-color'), grid: { stroke: color('--pico-muted-border-color'), width: 1 } };
      chart = new uPlot({
        width: place.clientWidth, height: 220,
        cursor: { drag: { x: false, y: false } },
        padding: [null, 36, null, null], // half of a time at the right end
        // Of less than two values uPlot makes an axis of years, or of the same second again and again.
        scales: { x: { range: (_, low, high) => { const end = high ?? Date.now() / 1000; return [Math.min(low ?? end, end - seconds[range] / 10), end]; } },
          y: { range: (_, low, high) => [0, Math.max(high || 0, 1024)] } },
        axes: [{ ...axis, space: 90, values: (_, ticks) => ticks.map((t) => time.format(new Date(t * 1000))) }, { ...axis, size: 80, incrs, values: (_, ticks) => ticks.map(rate) }],
        series: [{ label: '', value: (_, v) => (v == null ? '' : new Date(v * 1000).toLocaleString(document.documentElement.lang)) },
          { label: place.dataset.down, stroke: color('--busy'), width: 2, points: { show: false }, value: (_, v) => rate(v) },
          { label: place.dataset.up, stroke: color('--warn'), width: 2, points: { show: false }, value: (_, v) => rate(v) },
          { label: place.dataset.read, stroke: color('--good'), width: 2, points: { show: false }, value: (_, v) => rate(v) }],
      }, values, place);
    }

    async function load() {
      clearTimeout(timer);
      if (!document.hidden) {
        try {
          const asked = range;
          const answer = await fetch(`${place.dataset.history}?range=${asked}`);
          const data = answer.ok && await answer.json();
          if (asked !== range) return; // another load is on its way
          if (data) draw(data);
        } catch { /* the page says that it is not live */ }
      }
      clearTimeout(timer); // of a load that was quicker
      timer = setTimeout(load, every[range]);
    }

    place.addEventListener('click', (event) => {
      const button = event.target.closest('button[data-range]');
      if (!button) return;
      range = button.dataset.range;
      chart?.destroy();
      chart = null;
      place.querySelectorAll('button[data-range]').forEach((b) => b.setAttribute('aria-pressed', String(b === button)));
      load();
    });
    new ResizeObserver(() => chart && chart.setSize({ width: place.clientWidth, height: 220 })).observe(place);
    document.addEventListener('visibilitychange', () => document.hidden || load());
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => { chart?.destroy(); chart = null; load(); });
    load();
  });
})();
