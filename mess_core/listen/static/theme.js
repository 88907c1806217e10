// Sets light or dark before anything is drawn: as chosen, or as the system has it.
(() => {
  let chosen = null;
  try { chosen = localStorage.getItem('mess-theme'); } catch { /* storage is off */ }
  const dark = chosen ? chosen === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  document.documentElement.dataset.theme = dark ? 'dark' : 'light';
})();
