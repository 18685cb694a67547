/** Start, pause, resume, finish; and the ways out of trouble. */
import type { ComponentChildren } from 'preact';
import { useLayoutEffect, useRef } from 'preact/hooks';
import type { Verb } from '../state/describe.ts';
import { store } from '../state/store.ts';
import { texts } from '../texts.ts';
import { PauseIcon, PlayIcon, ReloadIcon } from './Icons.tsx';

interface Primary {
  testId: string;
  label: string;
  hint: string | null;
  icon: ComponentChildren;
  act(): void;
}

/** The verb that stands first: the one that Space stands for, where there is one. */
function primaryVerb(verbs: readonly Verb[]): Primary | null {
  const { verbs: words } = texts;
  if (verbs.includes('start') || verbs.includes('restart')) {
    const label = verbs.includes('start') ? words.start : words.restart;
    const hint = words.spaceStarts;
    return { testId: 'start', label, hint, icon: <PlayIcon />, act: () => store.start() };
  }
  if (verbs.includes('pause')) {
    const { pause: label, spacePauses: hint } = words;
    return { testId: 'pause', label, hint, icon: <PauseIcon />, act: () => store.pause() };
  }
  if (verbs.includes('resume')) {
    const label = store.userPaused.value ? words.resume : words.resumeAnyway;
    const hint = words.spaceResumes;
    return { testId: 'resume', label, hint, icon: <PlayIcon />, act: () => store.resume() };
  }
  if (verbs.includes('reload')) {
    const act = (): void => location.reload();
    return { testId: 'reload', label: words.reload, hint: null, icon: <ReloadIcon />, act };
  }
  return null;
}

/** `onOrphaned` is called when the focused button went away, so focus can move on. */
export function Verbs({ onOrphaned }: { onOrphaned(): void }) {
  const { verbs } = store.description.value;
  const row = useRef<HTMLDivElement>(null);
  const focused = useRef(false);
  useLayoutEffect(() => {
    if (focused.current && document.activeElement === document.body) onOrphaned();
    focused.current = row.current?.contains(document.activeElement) ?? false;
  }, [verbs.join()]);

  const primary = primaryVerb(verbs);
  return (
    <div
      class="verbs"
      ref={row}
      onFocusIn={() => (focused.current = true)}
      onFocusOut={(event) => (focused.current = event.relatedTarget === null)}
    >
      {primary !== null && (
        // One element for all of them: focus stays when Start becomes Pause.
        <button
          key="primary"
          type="button"
          class="button primary"
          data-testid={primary.testId}
          onClick={primary.act}
        >
          {primary.icon}
          {primary.label}
        </button>
      )}
      {verbs.includes('retry') && (
        <button
          key="retry"
          type="button"
          class="button"
          data-testid="retry-now"
          onClick={() => store.retryNow()}
        >
          {texts.verbs.retry}
        </button>
      )}
      {verbs.includes('finish') && (
        <button
          key="finish"
          type="button"
          class="button"
          data-testid="finish"
          onClick={() => store.finish()}
        >
          {texts.verbs.finish}
        </button>
      )}
      {primary !== null && primary.hint !== null && (
        <span class="verb-hint" key="hint">
          {primary.hint}
        </span>
      )}
    </div>
  );
}
