// Saves what the page shows as files.

export function save(content, type, name) {
  const url = URL.createObjectURL(new Blob([content], { type }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

const quoted = (value) => {
  const text = value === null || value === undefined ? '' : String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

export const csv = (rows) => `${rows.map((row) => row.map(quoted).join(',')).join('\r\n')}\r\n`;

export const saveCsv = (rows, name) => save(csv(rows), 'text/csv', name);

export const saveSvg = (svg, name) => save(svg, 'image/svg+xml', name);

// Draws a picture at three times its size, for print.
export function savePng(svg, name) {
  const image = new Image();
  return new Promise((done) => {
    image.addEventListener('load', () => {
      const canvas = document.createElement('canvas');
      canvas.width = 3 * image.width;
      canvas.height = 3 * image.height;
      const pen = canvas.getContext('2d');
      pen.scale(3, 3);
      pen.drawImage(image, 0, 0);
      canvas.toBlob((blob) => { if (blob) save(blob, 'image/png', name); done(); }, 'image/png');
    });
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
  });
}
