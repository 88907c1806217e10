// The comparison as a picture for papers: curves over the common time, and the worm.

const WIDTH = 900, PANEL = 96, LEFT = 56, WORM = 300;
const COLOURS = { a: '#1d5fa8', b: '#a8411d', others: '#b4bcc6', ink: '#1c2430', line: '#d4d9e0' };

const escaped = (text) => String(text).replace(/[&<>"]/g, (one) => `&#${one.charCodeAt(0)};`);
const number = (value) => String(Number(value.toPrecision(3)));

function path(points, colour, width) {
  let drawn = '', pen = 'M';
  for (const point of points) {
    if (!point) { pen = 'M'; continue; }
    drawn += `${pen}${point[0].toFixed(1)} ${point[1].toFixed(1)}`;
    pen = 'L';
  }
  return `<path d="${drawn}" fill="none" stroke="${colour}" stroke-width="${width}" stroke-linejoin="round"/>`;
}

function panel({ title, others, a, b }, top) {
  const known = [a, b, ...others].flat().filter((value) => value !== null);
  const low = known.reduce((least, one) => Math.min(least, one), Infinity);
  const high = known.reduce((most, one) => Math.max(most, one), -Infinity);
  const span = Math.max(high - low, 1e-9), inner = PANEL - 30;
  const points = (values) => values.map((value, index) => (value === null ? null
    : [LEFT + ((index + 0.5) / values.length) * (WIDTH - LEFT - 10), top + 20 + inner - ((value - low) / span) * inner]));
  const text = (x, y, said, anchor) => `<text x="${x}" y="${y}" text-anchor="${anchor}">${escaped(said)}</text>`;
  return [
    `<rect x="${LEFT}" y="${top + 20}" width="${WIDTH - LEFT - 10}" height="${inner}" fill="none" stroke="${COLOURS.line}"/>`,
    text(LEFT, top + 14, title, 'start'),
    ...(known.length ? [text(LEFT - 5, top + 28, number(high), 'end'), text(LEFT - 5, top + 20 + inner, number(low), 'end')] : []),
    ...others.map((values) => path(points(values), COLOURS.others, 0.6)),
    path(points(a), COLOURS.a, 1.8), path(points(b), COLOURS.b, 1.8),
  ].join('');
}

export function comparisonSvg(curves, names, unit, worm) {
  const top = 30, height = top + curves.length * PANEL + 24 + WORM + 20;
  const shift = top + curves.length * PANEL + 24;
  const beats = worm.paths.a[0].length;
  const trajectory = (side) => {
    const points = Array.from({ length: beats }, (_, beat) => worm.point(side, beat, WORM * 1.4, WORM));
    const last = points.findLast(Boolean);
    return path(points, COLOURS[side], 1.4) + (last ? `<circle cx="${last[0]}" cy="${last[1]}" r="5" fill="${COLOURS[side]}"/>` : '');
  };
  const legend = names.map((name, index) => `<text x="${LEFT + index * 420}" y="16" fill="${COLOURS[index ? 'b' : 'a']}" font-weight="bold">${escaped(`${index ? 'B' : 'A'}: ${name}`)}</text>`);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12" fill="${COLOURS.ink}">`,
    '<rect width="100%" height="100%" fill="#fff"/>', ...legend,
    ...curves.map((one, index) => panel(one, top + index * PANEL)),
    `<text x="${WIDTH / 2}" y="${shift - 8}" text-anchor="middle">${escaped(unit)} 1 to ${beats}</text>`,
    `<g transform="translate(16 ${shift})">`, trajectory('a'), trajectory('b'),
    `<text x="${WORM * 0.7}" y="${WORM}" text-anchor="middle">${escaped(worm.labels[0])}</text>`,
    `<text transform="translate(20 ${WORM / 2}) rotate(-90)" text-anchor="middle">${escaped(worm.labels[1])}</text></g>`,
    '</svg>',
  ].join('\n');
}
