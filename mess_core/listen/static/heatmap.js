// Which layer encodes which target: a table whose cells are coloured by R².
import { ask } from './api.js';

export async function drawHeatmap(root) {
  root.textContent = '';
  let found;
  try {
    found = await ask('heatmap');
  } catch (error) {
    root.textContent = `No layers to show: ${error.message}`;
    return;
  }
  const table = document.createElement('table');
  const caption = table.createCaption();
  caption.textContent = `R² by layer, works apart (${found.encoder})`;
  const head = table.createTHead().insertRow();
  const cell = (row, text, scope) => {
    const made = document.createElement('th');
    made.textContent = text;
    made.scope = scope;
    row.append(made);
  };
  cell(head, 'target', 'col');
  for (const layer of found.layers) cell(head, layer, 'col');
  const body = table.createTBody();
  found.targets.forEach((target, place) => {
    const row = body.insertRow();
    cell(row, target, 'row');
    for (const value of found.r2[place]) {
      const made = row.insertCell();
      const strength = Math.max(0, Math.min(1, value ?? 0));
      made.style.background = `hsl(212 75% ${97 - 67 * strength}%)`;
      made.style.color = strength > 0.5 ? '#fff' : '#1c2430';
      made.textContent = value === null ? '' : Math.round(100 * Math.max(-9.99, value));
      made.title = `${target}: R² ${value}`;
    }
  });
  root.append(table);
  const note = document.createElement('p');
  note.className = 'quiet';
  note.textContent = 'In hundredths; below 0 is worse than the mean.';
  root.append(note);
}
