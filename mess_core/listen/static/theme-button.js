// The button that changes between light and dark; `theme.js` has set what was chosen before.
import { $ } from './elements.js';

export const themeIsDark = () => document.documentElement.dataset.theme === 'dark';

export function setTheme(dark) {
  document.documentElement.dataset.theme = dark ? 'dark' : 'light';
  label();
  try { localStorage.setItem('mess-theme', dark ? 'dark' : 'light'); } catch { /* storage is off: for this visit only */ }
}

function label() { $('theme').textContent = themeIsDark() ? 'Light' : 'Dark'; }

label();
