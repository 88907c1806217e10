// Table of targets by layers, with cells coloured by R².
import { get } from './api.js';

export async function drawHeatmap(root) {
  root.textContent = '';
  let found;
  try {
    found = await get('heatmap');
  } catch (error) {
    root.textContent = `No layer scores available: ${error.message}`;
    return;
  }
  const table = document.createElement('table');
  const caption = table.createCaption();
  caption.textContent = `R² by layer, cross-validated by work (${found.encoder})`;
  const head = table.createTHead().insertRow();
  const heading = (row, text, scope) => {
    const cell = document.createElement('th');
    cell.textContent = text;
    cell.scope = scope;
    row.append(cell);
  };
  heading(head, 'target', 'col');
  for (const layer of found.layers) heading(head, layer, 'col');
  const body = table.createTBody();
  found.targets.forEach((target, index) => {
    const row = body.insertRow();
    heading(row, target, 'row');
    for (const value of found.r2[index]) {
      const cell = row.insertCell();
      const strength = Math.max(0, Math.min(1, value ?? 0));
      cell.style.background = `hsl(212 75% ${97 - 67 * strength}%)`;
      cell.style.color = strength > 0.5 ? '#fff' : '#1c2430';
      cell.textContent = value === null ? '' : Math.round(100 * Math.max(-9.99, value));
      cell.title = `${target}: R² ${value}`;
    }
  });
  root.append(table);
  const note = document.createElement('p');
  note.className = 'quiet';
  note.textContent = 'Values are R² × 100. Below 0 is worse than predicting the mean.';
  root.append(note);
}
