/** What of a run is being worked on: the step in progress, who has which part of it, how stale answers are. */
import { Figure } from '../components/Figure.tsx';
import { formatBytes, formatCount, formatSeconds } from '../format.ts';
import { DataTable } from './DataTable.tsx';
import { store } from './state.ts';
import type { Lease, Round, StaleUpdates, Work } from './types.ts';
import { words } from './words.ts';

export function WorkSection() {
  const work = store.work.value;
  return (
    <section>
      <h2 id="work-heading">{words.work.heading}</h2>
      {work === null ? (
        <p class="description">{words.health.unknown}</p>
      ) : (
        <div class="work" data-testid="work">
          <WorkFigures work={work} />
          {work.round !== null && <UnitMap round={work.round} />}
          <Leases work={work} />
          <Staleness work={work} />
        </div>
      )}
    </section>
  );
}

function WorkFigures({ work }: { work: Work }) {
  const { round } = work;
  const share = (of: number): string =>
    round === null ? words.none : words.work.of(formatCount(of), formatCount(round.units));
  return (
    <dl class="figures">
      <Figure label={words.work.step} value={formatCount(work.version + 1)} raw={work.version + 1} testId="work-step" />
      <Figure label={words.work.mode} value={words.work.modes[work.mode]} />
      <Figure label={words.work.age} value={round === null ? words.none : formatSeconds(round.age_ms / 1_000)} />
      <Figure label={words.work.states.done} value={share(round?.done ?? 0)} />
      <Figure label={words.work.states.leased} value={share(round?.leased ?? 0)} />
      <Figure label={words.work.states.free} value={share(round?.free ?? 0)} />
      <Figure label={words.work.restarts} value={formatCount(round?.restarts ?? 0)} />
      <Figure
        label={words.work.received}
        value={formatBytes(work.received_bytes)}
        raw={work.received_bytes}
        testId="received"
      />
      <Figure label={words.work.sent} value={formatBytes(work.sent_bytes)} raw={work.sent_bytes} testId="sent" />
    </dl>
  );
}

/** The units of the round in their order; the figures and the table say the same in words. */
function UnitMap({ round }: { round: Round }) {
  const { states } = words.work;
  const label = (['done', 'leased', 'free'] as const).map((state) => `${formatCount(round[state])} ${states[state]}`);
  return (
    <div>
      <div class="unit-map" role="img" aria-label={words.work.map(label.join(', '))} data-testid="unit-map">
        {round.parts.map(({ count, state }, idx) => (
          <span key={idx} data-state={state} style={{ flexGrow: count }} />
        ))}
      </div>
      <ul class="unit-key" aria-hidden="true">
        {(['done', 'leased', 'free'] as const).map((state) => (
          <li key={state} data-state={state}>
            {states[state]}
          </li>
        ))}
      </ul>
    </div>
  );
}

function Leases({ work }: { work: Work }) {
  const { columns } = words.work;
  return (
    <div>
      <h3 id="leases-heading">{words.work.leases}</h3>
      <p class="fine">
        {work.n_leases > work.leases.length
          ? words.work.first(formatCount(work.leases.length), formatCount(work.n_leases))
          : words.work.leasesHelp}
      </p>
      {/* Of one height: leases come and go every second, and what stands below must not jump. */}
      <DataTable
        testId="leases"
        labelledBy="leases-heading"
        columns={[
          columns.worker,
          work.mode === 'async' ? columns.batch : columns.units,
          columns.base,
          columns.age,
          columns.left,
          columns.state,
        ]}
        frame="leases"
        note={work.leases.length === 0 && <p class="fine">{words.work.noLeases}</p>}
      >
        {work.leases.map((lease) => (
          <LeaseRow key={lease.lease_id} lease={lease} mode={work.mode} />
        ))}
      </DataTable>
    </div>
  );
}

function LeaseRow({ lease, mode }: { lease: Lease; mode: Work['mode'] }) {
  const { first, count, lapsed, hedge } = lease;
  const units =
    mode === 'async'
      ? formatCount(lease.position + 1)
      : count === 1
        ? formatCount(first + 1)
        : words.work.range(formatCount(first + 1), formatCount(first + count));
  const base = formatCount(lease.version);
  return (
    <tr>
      <th scope="row">{lease.worker_id}</th>
      <td>{units}</td>
      <td>{lease.staleness === 0 ? base : words.work.behind(base, formatCount(lease.staleness))}</td>
      <td>{formatSeconds(lease.age_ms / 1_000)}</td>
      <td>{lapsed ? words.none : formatSeconds(lease.left_ms / 1_000)}</td>
      <td>{lapsed ? words.work.lapsed : hedge ? words.work.hedge : words.work.waiting}</td>
    </tr>
  );
}

function Staleness({ work: { staleness, too_stale } }: { work: Work }) {
  const most = Math.max(1, ...staleness.map(({ updates }) => updates));
  return (
    <div>
      <h3 id="staleness-heading">{words.work.staleness}</h3>
      <p class="fine">{words.work.tooStale(formatCount(too_stale))}</p>
      <div class="table-scroll" tabIndex={0} role="region" aria-labelledby="staleness-heading">
        <table class="staleness" data-testid="staleness">
          <thead>
            <tr>
              <th scope="col">{words.work.columns.behind}</th>
              <th scope="col">{words.work.columns.updates}</th>
            </tr>
          </thead>
          <tbody>
            {staleness.map((line, idx) => (
              <tr key={idx}>
                <th scope="row">{rangeOf(staleness, idx)}</th>
                <td>
                  <span class="stale-bar" style={{ width: `${(line.updates / most) * 60}%` }} />
                  {formatCount(line.updates)}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </div>
  );
}

/** `3–4` for the line up to 4 behind the one up to 2. */
function rangeOf(lines: StaleUpdates[], idx: number): string {
  const least = idx === 0 ? 0 : (lines[idx - 1]?.at_most ?? 0) + 1;
  const most = lines[idx]?.at_most ?? null;
  if (most === null) return words.work.orMore(formatCount(least));
  return least === most ? formatCount(most) : words.work.range(formatCount(least), formatCount(most));
}
