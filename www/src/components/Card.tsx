/** A picture to keep or to share: how many samples this tab trained, of which run. */
import { useRef, useState } from 'preact/hooks';
import { formatCount } from '../format.ts';
import { save } from '../save.ts';
import { store } from '../state/store.ts';
import { seedPositions } from '../state/sunflower.ts';
import { texts } from '../texts.ts';

const WIDTH = 1_200;
const HEIGHT = 630;
const FILE = 'tabswarm.png';

/** What the card says. */
interface Facts {
  samples: string;
  run: string;
}

export function Card() {
  const dialog = useRef<HTMLDialogElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [copied, setCopied] = useState(false);
  const words = texts.card;
  const samples = store.session.value.status?.samples_credited ?? 0;
  const facts = { samples: formatCount(samples), run: runTitle() };
  const text = words.text(facts.samples, facts.run);
  const open = (): void => {
    if (canvas.current !== null) draw(canvas.current, facts);
    setCopied(false);
    dialog.current?.showModal();
  };
  const copy = (): void => {
    navigator.clipboard.writeText(text).then(
      () => setCopied(true),
      () => setCopied(false),
    );
  };
  return (
    <div class="card">
      <button
        type="button"
        class="button"
        data-testid="card-open"
        disabled={samples === 0}
        aria-describedby="card-help"
        onClick={open}
      >
        {words.open}
      </button>
      <span class="fine" id="card-help">
        {samples === 0 ? words.nothing : words.help}
      </span>
      <dialog ref={dialog} class="card-dialog" aria-label={words.title}>
        <canvas
          ref={canvas}
          width={WIDTH}
          height={HEIGHT}
          role="img"
          aria-label={words.alternative(text)}
          data-testid="card"
        />
        <div class="card-actions">
          <button
            type="button"
            class="button primary"
            data-testid="card-save"
            onClick={() => withPicture(canvas.current, (picture) => save(FILE, picture))}
          >
            {words.save}
          </button>
          {'share' in navigator && (
            <button
              type="button"
              class="button"
              onClick={() => withPicture(canvas.current, (picture) => share(picture, text))}
            >
              {words.share}
            </button>
          )}
          <button type="button" class="button" data-testid="card-copy" onClick={copy}>
            {copied ? words.copied : words.copy}
          </button>
          <button
            type="button"
            class="icon-button"
            aria-label="×"
            data-testid="card-close"
            onClick={() => dialog.current?.close()}
          >
            ×
          </button>
        </div>
      </dialog>
    </div>
  );
}

function runTitle(): string {
  const name = store.session.value.status?.run ?? store.selected.value ?? '';
  return store.runs.value.find((run) => run.name === name)?.title || name;
}

function withPicture(canvas: HTMLCanvasElement | null, act: (picture: Blob) => void): void {
  canvas?.toBlob((picture) => {
    if (picture !== null) act(picture);
  }, 'image/png');
}

/** Where files can't be shared the text is; who closes the sheet wanted neither. */
function share(picture: Blob, text: string): void {
  const files = [new File([picture], FILE, { type: 'image/png' })];
  const data = navigator.canShare?.({ files }) ? { files, text } : { text };
  navigator.share(data).catch(() => {});
}

/** Colors as the night has them, whatever the theme: a card is seen elsewhere. */
function draw(canvas: HTMLCanvasElement, { samples, run }: Facts): void {
  const context = canvas.getContext('2d');
  if (context === null) return;
  const style = getComputedStyle(canvas);
  const color = (token: string): string => style.getPropertyValue(token).trim();
  context.fillStyle = '#161b31';
  context.fillRect(0, 0, WIDTH, HEIGHT);
  for (const [idx, { x, y, radius }] of seedPositions().entries()) {
    context.fillStyle = idx > 250 ? color('--mine') : color('--night-swarm');
    context.beginPath();
    context.arc(930 + x * 2.5, 315 + y * 2.5, radius * 2.3, 0, 2 * Math.PI);
    context.fill();
  }
  const { trained, of } = texts.card;
  const write = (text: string, y: number, size: number, weight: number, fill: string): void => {
    context.fillStyle = fill;
    const font = (pixels: number): string => `${weight} ${pixels}px ${style.fontFamily}`;
    context.font = font(size);
    // Long titles get smaller until they fit beside the flower.
    const width = context.measureText(text).width;
    if (width > 590) context.font = font(Math.max(20, (size * 590) / width));
    context.fillText(text, 70, y);
  };
  write(trained(samples), 280, 64, 700, color('--mine'));
  write(of(run), 345, 34, 500, color('--night-ink'));
  write(`${texts.name} · ${location.host}`, 540, 28, 500, color('--night-soft'));
}
