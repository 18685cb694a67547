/** The current lease, one cell to a micro-batch; the cells in work glow. */
import { store } from '../state/store.ts';
import { texts } from '../texts.ts';

/** Shown while there is no lease, so that the strip keeps its place. */
const PLACEHOLDER_CELLS = 32;

export function LeaseStrip() {
  const { status } = store.session.value;
  const lease = status?.lease ?? null;
  const total = lease?.total ?? PLACEHOLDER_CELLS;
  const done = lease?.done ?? 0;
  const inWork = status?.state === 'computing' ? status.lanes : 0;
  const amount = lease ? texts.lease.amount(done, total, lease.samples) : texts.lease.none;
  const bar = lease && {
    'aria-valuemin': 0,
    'aria-valuemax': total,
    'aria-valuenow': done,
    'aria-valuetext': amount,
  };
  return (
    <div class="lease">
      <p class="lease-label">
        <span>{texts.lease.label}</span>
        <span>{amount}</span>
      </p>
      <div class="lease-cells" role="progressbar" aria-label={texts.lease.label} {...bar}>
        {Array.from({ length: total }, (_, idx) => (
          // Other cells, not cells that moved: nothing jumps when the next lease has more or fewer.
          <span key={`${total}/${idx}`} class={cellClass(idx, done, inWork)} />
        ))}
      </div>
    </div>
  );
}

function cellClass(idx: number, done: number, inWork: number): string {
  if (idx < done) return 'cell done';
  return idx < done + inWork ? 'cell in-work' : 'cell';
}
