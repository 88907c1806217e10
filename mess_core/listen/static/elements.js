// Creates an element with text and attributes.
export function create(tag, text = '', attributes = {}) {
  const element = document.createElement(tag);
  element.textContent = text;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

export const $ = (id) => document.getElementById(id);

// Value of a variable of the style sheet, such as '--ink'.
export const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// A cleared pen for a canvas, in CSS pixels whatever the screen's density.
export function cleanPen(canvas) {
  const scale = window.devicePixelRatio || 1, [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const [wide, high] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== wide || canvas.height !== high) Object.assign(canvas, { width: wide, height: high });
  const pen = canvas.getContext('2d');
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  return pen;
}
