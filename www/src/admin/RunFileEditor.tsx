/** A run file being written, with what is wrong in it. */
import { useEffect, useState } from 'preact/hooks';
import { formatCount } from '../format.ts';
import { store } from './state.ts';
import type { Validation } from './types.ts';
import { words } from './words.ts';

/** Whoever types is not interrupted: the server is asked when they rest. */
const REST_MS = 400;

interface EditorProps {
  text: string;
  set(text: string): void;
  rows: number;
}

export function RunFileEditor({ text, set, rows }: EditorProps) {
  const checked = useValidation(text);
  return (
    <div class="editor">
      <label for="run-text">{words.create.text}</label>
      <textarea
        id="run-text"
        data-testid="run-text"
        rows={rows}
        spellcheck={false}
        required
        value={text}
        aria-describedby="verdict"
        aria-invalid={checked?.valid === false}
        onInput={(event) => set(event.currentTarget.value)}
      />
      <div
        class="verdict"
        id="verdict"
        role="status"
        data-testid="verdict"
        data-state={checked === null ? 'unknown' : checked.valid ? 'valid' : 'invalid'}
      >
        {text.trim() === '' ? words.editor.empty : checked === null ? words.editor.checking : <Verdict of={checked} />}
      </div>
    </div>
  );
}

/** What the server says of the text as it is now; null while it was not asked yet. */
function useValidation(text: string): Validation | null {
  const [answer, setAnswer] = useState<{ of: string; checked: Validation | null } | null>(null);
  useEffect(() => {
    if (text.trim() === '') return;
    let isOverdue = false;
    const timer = setTimeout(() => {
      void store.validate(text).then((checked) => {
        if (!isOverdue) setAnswer({ of: text, checked });
      });
    }, REST_MS);
    return () => {
      isOverdue = true;
      clearTimeout(timer);
    };
  }, [text]);
  return answer !== null && answer.of === text ? answer.checked : null;
}

function Verdict({ of: { run, mistakes } }: { of: Validation }) {
  if (run !== null) {
    const { name, parameters, epochs, global_batch } = run;
    return <>{words.editor.valid(name, formatCount(parameters), formatCount(epochs), formatCount(global_batch))}</>;
  }
  return (
    <>
      <strong>{words.editor.invalid(mistakes.length)}</strong>
      <ul>
        {mistakes.map(({ place, problem, remedy }, idx) => (
          <li key={idx}>
            {place !== '' && <code>{place}</code>}
            <span class="said">{problem}</span>
            {remedy !== '' && <span class="remedy">{words.editor.remedy(remedy)}</span>}
          </li>
        ))}
      </ul>
    </>
  );
}
