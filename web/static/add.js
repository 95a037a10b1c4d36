// Lets the browser open magnet links with Shoal, where it may.
'use strict';

(() => {
  const possible = document.getElementById('magnet-handler');
  const impossible = document.getElementById('no-magnet-handler');
  if (!possible || !impossible) return;
  if (!isSecureContext || !navigator.registerProtocolHandler) {
    impossible.hidden = false;
    return;
  }
  possible.hidden = false;
  possible.querySelector('button').addEventListener('click', () => {
    navigator.registerProtocolHandler('magnet', location.origin + document.body.dataset.add + '?uri=%s');
    const status = possible.querySelector('[data-done]');
    status.textContent = status.dataset.done;
  });
})();
