/**
 * The run as a sunflower: each dot is the same share of it, blue once the swarm has committed
 * it, amber where the share is this device's. A picture of figures that stand as text elsewhere.
 */
import { store } from '../state/store.ts';
import { seedPositions, seedShares, stepsPerSeed } from '../state/sunflower.ts';
import { texts } from '../texts.ts';

const POSITIONS = seedPositions();

export function Sunflower() {
  const run = store.run.value;
  const { status } = store.session.value;
  const { committed, mine } = seedShares({
    version: run?.version ?? 0,
    stepsTotal: run?.steps_total ?? 0,
    samplesCommitted: run?.samples_committed ?? 0,
    samplesCredited: status?.run === run?.name ? (status?.samples_credited ?? 0) : 0,
  });
  const computing = status?.state === 'computing';
  return (
    <figure class="device-art">
      <svg class="sunflower" viewBox="-100 -100 200 200" aria-hidden="true" focusable="false">
        {POSITIONS.map(({ x, y, radius }, idx) => (
          <circle
            key={idx}
            cx={x}
            cy={y}
            r={radius}
            class={seedClass(idx, committed, mine, computing ? status.lanes : 0)}
          />
        ))}
      </svg>
      <figcaption class="fine">
        {run !== null && texts.sunflower(texts.sunflowerDot(stepsPerSeed(run.steps_total)))}
      </figcaption>
    </figure>
  );
}

/** This device's seeds are the newest of the committed ones, at the rim of what is done. */
function seedClass(idx: number, committed: number, mine: number, inWork: number): string {
  if (idx >= committed + inWork) return 'seed';
  if (idx >= committed) return 'seed in-work';
  return idx >= committed - mine ? 'seed mine' : 'seed done';
}
