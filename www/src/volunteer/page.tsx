/** The volunteer page: this device at night above, the run by day below. */
import { useSignalEffect } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { About } from '../components/About.tsx';
import { Consent } from '../components/Consent.tsx';
import { Contribution } from '../components/Contribution.tsx';
import { DigitSection } from '../components/DigitSection.tsx';
import { Header } from '../components/Header.tsx';
import { Leaders } from '../components/Leaders.tsx';
import { LeaseStrip } from '../components/LeaseStrip.tsx';
import { Limits } from '../components/Limits.tsx';
import { Privacy } from '../components/Privacy.tsx';
import { Runs } from '../components/Runs.tsx';
import { RunSection } from '../components/RunSection.tsx';
import { StatePanel } from '../components/StatePanel.tsx';
import { Sunflower } from '../components/Sunflower.tsx';
import { WritingSection } from '../components/WritingSection.tsx';
import { store } from '../state/store.ts';
import { texts } from '../texts.ts';

export function Page() {
  useSignalEffect(() => {
    const { heading, state } = store.description.value;
    document.title = state === 'ready' ? texts.name : `${heading}${texts.titleSuffix}`;
  });
  const consented = store.consented.value;
  const returning = useRef(consented);
  return (
    <>
      <Header />
      <main hidden={store.view.value !== 'run'}>
        <div class="night">
          <div class="device">
            <div class="device-main">{consented ? <Device fresh={!returning.current} /> : <Consent />}</div>
            <Sunflower />
          </div>
          {consented && (
            <div class="device-more">
              <Contribution />
              <Limits />
            </div>
          )}
        </div>
        <div class="sheet">
          <RunSection />
          <DigitSection />
          <WritingSection />
        </div>
      </main>
      {store.view.value !== 'run' && <OtherPage />}
    </>
  );
}

/** A page beside the run. The run's page stays as it is, behind it. */
function OtherPage() {
  const view = store.view.value;
  const root = useRef<HTMLElement>(null);
  useEffect(() => {
    scrollTo(0, 0);
    root.current?.querySelector<HTMLElement>('#content')?.focus({ preventScroll: true });
  }, [view]);
  return (
    <main ref={root} class="sheet" data-testid={`view-${view}`}>
      {view === 'runs' && <Runs />}
      {view === 'leaders' && <Leaders />}
      {view === 'about' && <About />}
      {view === 'privacy' && <Privacy />}
    </main>
  );
}

/** What replaces the consent. `fresh` is true if it was given a moment ago. */
function Device({ fresh }: { fresh: boolean }) {
  const root = useRef<HTMLDivElement>(null);
  useEffect(() => {
    // The button that was pressed is gone; keyboard users go on from the one that follows it.
    if (fresh) root.current?.querySelector('button')?.focus({ preventScroll: true });
  }, []);
  return (
    <div ref={root}>
      <StatePanel />
      <LeaseStrip />
    </div>
  );
}
