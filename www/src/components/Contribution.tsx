/** What this device did since Start, from computed to credited. */
import type { SessionStatus } from '../engine/contract.ts';
import { formatBytes, formatCount, formatDuration, formatRate, formatSeconds } from '../format.ts';
import { store } from '../state/store.ts';
import { said, texts } from '../texts.ts';
import { Card } from './Card.tsx';
import { Figure } from './Figure.tsx';

export function Contribution() {
  const { status } = store.session.value;
  const words = texts.contribution;
  const count = (value: number | undefined): string => formatCount(value ?? 0);
  const rejected = status?.samples_rejected ?? 0;
  return (
    <section class="contribution" aria-labelledby="contribution-heading">
      <h2 id="contribution-heading">{words.heading}</h2>
      <FlowBar status={status} />
      <dl class="figures flow-figures">
        <Figure
          label={words.computed}
          value={count(status?.samples_computed)}
          raw={status?.samples_computed ?? 0}
          testId="samples-computed"
        />
        <Figure
          label={words.accepted}
          value={count(status?.samples_accepted)}
          raw={status?.samples_accepted ?? 0}
          testId="samples-accepted"
        />
        <Figure
          label={words.credited}
          value={count(status?.samples_credited)}
          raw={status?.samples_credited ?? 0}
          testId="samples-credited"
          tone="mine"
        />
        <Figure
          label={words.rejected}
          value={formatCount(rejected)}
          raw={rejected}
          testId="samples-rejected"
          {...(rejected > 0 ? { tone: 'trouble' as const } : {})}
        />
      </dl>
      <p class="fine">{words.creditedHelp}</p>
      <Rejections status={status} />
      <dl class="figures small">
        <Figure label={words.speed} value={formatRate(status?.samples_per_s ?? 0)} />
        <Figure label={words.up} value={formatBytes(status?.bytes_up ?? 0)} testId="bytes-up" />
        <Figure label={words.down} value={formatBytes(status?.bytes_down ?? 0)} testId="bytes-down" />
        <Figure
          label={words.firstAccepted}
          value={firstAccepted(status)}
          raw={status?.first_accepted_ms}
          testId="first-accepted"
        />
        <Figure label={words.arithmetic} value={arithmeticOf(status)} />
      </dl>
      <Place />
      <Card />
    </section>
  );
}

/** The place among all that were credited in the run. */
function Place() {
  const standing = store.membership.standing.value;
  const words = texts.leaders;
  return (
    <p class="fine" data-testid="rank" data-value={standing?.rank}>
      {standing === null
        ? words.noPlace
        : words.place(formatCount(standing.rank), formatCount(standing.of))}
    </p>
  );
}

function arithmeticOf(status: SessionStatus | null): string {
  const known = status?.arithmetic_class ?? null;
  return known === null ? '–' : texts.contribution.classes[known];
}

function firstAccepted(status: SessionStatus | null): string {
  const ms = status?.first_accepted_ms ?? null;
  if (ms === null) return '–';
  return ms < 10_000 ? formatSeconds(ms / 1_000) : formatDuration(ms / 1_000);
}

/** Computed samples as one bar; the parts that were accepted and credited lie over it. */
function FlowBar({ status }: { status: SessionStatus | null }) {
  const computed = Math.max(1, status?.samples_computed ?? 0);
  const part = (samples: number | undefined) => ({
    transform: `scaleX(${Math.min(1, (samples ?? 0) / computed)})`,
  });
  return (
    <div class="flow" aria-hidden="true">
      <span class="flow-part computed" style={part(status?.samples_computed)} />
      <span class="flow-part accepted" style={part(status?.samples_accepted)} />
      <span class="flow-part credited" style={part(status?.samples_credited)} />
    </div>
  );
}

function Rejections({ status }: { status: SessionStatus | null }) {
  if (status === null || status.rejections.length === 0) return null;
  return (
    <details class="rejections">
      <summary>{texts.contribution.rejectedWhy}</summary>
      <ul>
        {status.rejections.map(({ reason, count }) => (
          <li key={reason}>
            {said(reason)} <span class="tally">× {formatCount(count)}</span>
          </li>
        ))}
      </ul>
    </details>
  );
}
