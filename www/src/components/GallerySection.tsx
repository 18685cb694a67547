/** Ten test digits as each version reads them, and the confusion matrix of the newest. */
import { useEffect, useRef } from 'preact/hooks';
import { formatCount, formatPercent } from '../format.ts';
import { shareRight, type Examined } from '../state/gallery.ts';
import { store } from '../state/store.ts';
import { texts } from '../texts.ts';

const CLASSES = 10;

export function GallerySection() {
  const run = store.run.value;
  if (run === null || !run.examples) return null;
  const { gallery, playground } = store;
  const state = gallery.state.value;
  const words = texts.digit;
  return (
    <div class="gallery">
      <button
        type="button"
        class="button plain"
        data-testid="examine"
        disabled={state.kind === 'busy'}
        onClick={() => void gallery.examine(run, playground.snapshots.value)}
      >
        {words.examine}
      </button>
      <p role="status" class="fine">
        {state.kind === 'busy' && words.examining}
        {state.kind === 'failed' && words.failed(state.message)}
      </p>
      {state.kind === 'done' && state.found.run === run.name && (
        <div class="examined">
          <OverTime found={state.found} />
          <Confusion found={state.found} />
        </div>
      )}
    </div>
  );
}

function largest(values: Float32Array): number {
  return values.indexOf(Math.max(...values));
}

function OverTime({ found }: { found: Examined }) {
  const words = texts.digit;
  return (
    <section>
      <h3>{words.over}</h3>
      <p class="description">{words.overIntro}</p>
      <div class="table-scroll wide" tabIndex={0} role="region" aria-label={words.over}>
        <table class="over-time" data-testid="over-time">
          <thead>
            <tr>
              <th scope="col">{texts.charts.step}</th>
              {found.pictures.map((picture, digit) => (
                <th scope="col" key={digit}>
                  <Picture pixels={picture} side={found.side} label={words.trueClass(digit)} />
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {found.readings.map(({ version, probabilities }) => (
              <tr key={version}>
                <th scope="row">{formatCount(version)}</th>
                {found.pictures.map((_, digit) => {
                  const row = probabilities.subarray(digit * CLASSES, (digit + 1) * CLASSES);
                  const read = largest(row);
                  return (
                    <td key={digit} class={read === digit ? 'right' : 'wrong'}>
                      {read} <span class="fine">{formatPercent(row[read] ?? 0)}</span>
                    </td>
                  );
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function Picture({ pixels, side, label }: { pixels: Uint8Array; side: number; label: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const context = canvas.current?.getContext('2d');
    if (!context) return;
    const image = context.createImageData(side, side);
    pixels.forEach((value, idx) => {
      image.data.fill(value, idx * 4, idx * 4 + 3);
      image.data[idx * 4 + 3] = 255;
    });
    context.putImageData(image, 0, 0);
  }, [pixels]);
  return <canvas ref={canvas} class="example" width={side} height={side} role="img" aria-label={label} />;
}

function Confusion({ found }: { found: Examined }) {
  const words = texts.digit;
  const { counts, version } = found;
  const total = counts.reduce((sum, count) => sum + count, 0);
  const most = Math.max(1, ...counts);
  const percent = formatPercent(shareRight(counts, CLASSES), 1);
  const digits = Array.from({ length: CLASSES }, (_, digit) => digit);
  return (
    <section>
      <h3>{words.confusionTitle}</h3>
      <p class="description">{words.confusion(version, total, percent)}</p>
      <div class="table-scroll wide" tabIndex={0} role="region" aria-label={words.confusionTitle}>
        <table class="confusion" data-testid="confusion" data-value={shareRight(counts, CLASSES)}>
          <thead>
            <tr>
              <th scope="col">{words.confusionCorner}</th>
              {digits.map((digit) => (
                <th scope="col" key={digit}>
                  {digit}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {digits.map((row) => (
              <tr key={row}>
                <th scope="row">{row}</th>
                {digits.map((column) => {
                  const count = counts[row * CLASSES + column] ?? 0;
                  const kind = row === column ? 'hit' : count > 0 ? 'miss' : 'none';
                  const shade = `${Math.round(18 + (30 * count) / most)}%`;
                  return (
                    <td key={column} data-kind={kind} style={{ '--shade': shade }}>
                      {count}
                    </td>
                  );
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
