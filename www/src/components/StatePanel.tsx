/** The state in one word, why in one sentence, and what can be done about it. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { store } from '../state/store.ts';
import { texts } from '../texts.ts';
import { Verbs } from './Verbs.tsx';

export function StatePanel() {
  const { state, heading, reason, tone, retryAtMs } = store.description.value;
  const title = useRef<HTMLHeadingElement>(null);
  return (
    <section class="state" data-tone={tone} aria-labelledby="state-heading">
      <h1 id="state-heading" ref={title} tabIndex={-1} data-testid="state" data-state={state}>
        {heading}
      </h1>
      <p class="lead" data-testid="reason">
        {reason}
        {retryAtMs !== null && <Countdown untilMs={retryAtMs} />}
      </p>
      <Verbs onOrphaned={() => title.current?.focus()} />
      <Announcer />
    </section>
  );
}

/** Counts the seconds to the next attempt. */
function Countdown({ untilMs }: { untilMs: number }) {
  const [nowMs, setNowMs] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNowMs(Date.now()), 250);
    return () => clearInterval(timer);
  }, []);
  const seconds = Math.max(0, Math.ceil((untilMs - nowMs) / 1_000));
  return <span data-testid="retry-countdown"> {texts.retryIn(seconds)}</span>;
}

/** Tells screen readers about changes of state, not about every number that moves. */
function Announcer() {
  const { state, heading, reason } = store.description.value;
  const [said, setSaid] = useState('');
  const first = useRef(true);
  useEffect(() => {
    // A page that just opened is read anyway.
    if (first.current) first.current = false;
    else setSaid(`${heading}. ${reason}`);
  }, [state]);
  return (
    <p class="visually-hidden" role="status">
      {said}
    </p>
  );
}
