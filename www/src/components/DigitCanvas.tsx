/** The paper: pointer events in, strokes out, drawn sharp at any size and in both themes. */
import { useEffect, useRef } from 'preact/hooks';
import { PEN_RADIUS, type Point } from '../digit/ink.ts';
import { store } from '../state/store.ts';
import { texts } from '../texts.ts';

export function DigitCanvas() {
  const canvas = useRef<HTMLCanvasElement>(null);
  const { playground } = store;
  const revision = playground.inkRevision.value;
  const { theme } = store.preferences.value;
  useEffect(() => {
    if (canvas.current !== null) draw(canvas.current, playground.ink.strokes);
  }, [revision, theme]);
  useEffect(() => {
    const element = canvas.current;
    if (element === null) return undefined;
    const observer = new ResizeObserver(() => draw(element, playground.ink.strokes));
    observer.observe(element);
    const dark = window.matchMedia('(prefers-color-scheme: dark)');
    const redraw = (): void => draw(element, playground.ink.strokes);
    dark.addEventListener('change', redraw);
    return () => {
      observer.disconnect();
      dark.removeEventListener('change', redraw);
    };
  }, []);

  return (
    <canvas
      ref={canvas}
      class="digit-canvas"
      data-testid="digit-canvas"
      role="img"
      aria-label={texts.digit.canvas}
      onPointerDown={begin}
      onPointerMove={extend}
    />
  );
}

/** Where an event lies in the canvas's unit square. */
function place(event: PointerEvent, canvas: HTMLCanvasElement): Point {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
}

function begin(event: PointerEvent): void {
  const canvas = event.currentTarget as HTMLCanvasElement;
  if (!event.isPrimary || event.button !== 0) return;
  event.preventDefault();
  canvas.setPointerCapture(event.pointerId);
  store.playground.beginStroke(...place(event, canvas));
}

function extend(event: PointerEvent): void {
  const canvas = event.currentTarget as HTMLCanvasElement;
  if (!event.isPrimary || !canvas.hasPointerCapture(event.pointerId)) return;
  // A fast pen moves several times between two frames; without these its curves get corners.
  const moves = event.getCoalescedEvents?.() ?? [];
  for (const move of moves.length > 0 ? moves : [event]) {
    store.playground.extendStroke(...place(move, canvas));
  }
}

function draw(canvas: HTMLCanvasElement, strokes: readonly (readonly Point[])[]): void {
  const side = Math.max(1, Math.round(canvas.clientWidth * window.devicePixelRatio));
  if (canvas.width !== side || canvas.height !== side) {
    canvas.width = side;
    canvas.height = side;
  }
  const context = canvas.getContext('2d');
  if (context === null) return;
  context.clearRect(0, 0, side, side);
  context.strokeStyle = getComputedStyle(canvas).color;
  context.lineWidth = 2 * PEN_RADIUS * side;
  context.lineCap = 'round';
  context.lineJoin = 'round';
  for (const stroke of strokes) {
    const [first] = stroke;
    if (first === undefined) continue;
    context.beginPath();
    context.moveTo(first[0] * side, first[1] * side);
    for (const [x, y] of stroke) context.lineTo(x * side, y * side);
    context.stroke();
  }
}
