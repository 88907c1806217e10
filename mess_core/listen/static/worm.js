// Performance worm: tempo against loudness as a trajectory (Langner and Goebl, 2003).
import { cleanPen, css } from './elements.js';

const TAIL = 24; // beats
const MARGIN = 40;

export class Worm {
  constructor(canvas) { Object.assign(this, { canvas, paths: null }); }

  fill(paths, x, y) {
    Object.assign(this, { paths, labels: [x, y] });
    const every = [0, 1].map((axis) => ['a', 'b'].flatMap((side) => paths[side][axis]).filter((value) => value !== null));
    this.range = every.map((values) => {
      const sorted = [...values].sort((one, other) => one - other);
      const low = sorted[Math.floor(0.01 * sorted.length)] ?? 0, high = sorted[Math.ceil(0.99 * sorted.length) - 1] ?? 1;
      const room = 0.05 * Math.max(high - low, 1e-6);
      return [low - room, high + room];
    });
  }

  point(side, beat, width, height) {
    const [x, y] = this.paths[side].map((values) => values[beat]);
    if (x === null || y === null || x === undefined || y === undefined) return null;
    const [[left, right], [low, high]] = this.range;
    return [MARGIN + ((x - left) / (right - left)) * (width - MARGIN - 8), height - MARGIN + 8 - ((y - low) / (high - low)) * (height - MARGIN - 4)];
  }

  draw(place) {
    const { canvas } = this;
    if (!this.paths || !canvas.clientWidth) return;
    const width = canvas.clientWidth, height = canvas.clientHeight, pen = cleanPen(canvas);
    pen.font = '11px system-ui, sans-serif';
    pen.fillStyle = css('--quiet');
    pen.strokeStyle = css('--line');
    pen.strokeRect(MARGIN, 4, width - MARGIN - 8, height - MARGIN + 4);
    const number = (value) => String(Number(value.toPrecision(3)));
    const [[left, right], [low, high]] = this.range;
    pen.fillText(number(left), MARGIN, height - 18);
    pen.textAlign = 'right';
    pen.fillText(number(right), width - 8, height - 18);
    pen.fillText(number(high), MARGIN - 4, 14);
    pen.fillText(number(low), MARGIN - 4, height - MARGIN + 8);
    pen.textAlign = 'center';
    pen.fillText(this.labels[0], (width + MARGIN) / 2, height - 4);
    pen.save();
    pen.translate(11, height / 2 - 10);
    pen.rotate(-Math.PI / 2);
    pen.fillText(this.labels[1], 0, 0);
    pen.restore();
    pen.textAlign = 'left';
    const head = Math.max(0, Math.floor(place));
    for (const side of ['a', 'b']) this.drawOne(pen, side, head, width, height);
  }

  drawOne(pen, side, head, width, height) {
    pen.strokeStyle = pen.fillStyle = css(`--${side}`);
    pen.lineCap = 'round';
    const segment = (beat, alpha, wide) => {
      const from = this.point(side, beat, width, height), to = this.point(side, beat + 1, width, height);
      if (!from || !to) return;
      pen.globalAlpha = alpha;
      pen.lineWidth = wide;
      pen.beginPath();
      pen.moveTo(...from);
      pen.lineTo(...to);
      pen.stroke();
    };
    const beats = this.paths[side][0].length;
    for (let beat = 0; beat < beats - 1; beat += 1) segment(beat, 0.12, 1);
    for (let beat = Math.max(0, head - TAIL); beat < Math.min(head, beats - 1); beat += 1) {
      const age = 1 - (head - beat) / (TAIL + 1);
      segment(beat, 0.2 + 0.8 * age, 1 + 3 * age);
    }
    const end = this.point(side, Math.min(head, beats - 1), width, height);
    pen.globalAlpha = 1;
    if (!end) return;
    pen.beginPath();
    pen.arc(...end, 6, 0, 7);
    pen.fill();
  }
}
