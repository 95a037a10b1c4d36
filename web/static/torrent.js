// Reloads the page of a torrent when what its forms show has become another, unless somebody is writing in one.
'use strict';

(() => {
  const shown = () => document.getElementById('head')?.dataset.forms;
  const before = shown();

  function writing() {
    const active = document.activeElement;
    return active?.matches('#actions input, #actions select') ||
      [...document.querySelectorAll('#actions input')].some((input) => input.value !== input.defaultValue) ||
      [...document.querySelectorAll('#actions option')].some((option) => option.selected !== option.defaultSelected);
  }

  document.addEventListener('shoal:part', (event) => {
    if (event.detail === 'head' && shown() !== before && !writing()) location.reload();
  });
})();
