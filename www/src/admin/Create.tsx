/** Makes a run of a run file. */
import { useState } from 'preact/hooks';
import { runAddress } from './place.ts';
import { RunFileEditor } from './RunFileEditor.tsx';
import { RunForm } from './RunForm.tsx';
import { store } from './state.ts';
import { words } from './words.ts';

export function Create() {
  const [text, setText] = useState('');
  const [start, setStart] = useState(false);
  const [busy, setBusy] = useState(false);
  const choose = async (files: FileList | null): Promise<void> => {
    const file = files?.[0];
    if (file !== undefined) setText(await file.text());
  };
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    const name = await store.create(text, start);
    setBusy(false);
    if (name !== null) location.hash = runAddress(name);
  };
  return (
    <form class="create" onSubmit={(event) => void submit(event)}>
      <h1>{words.create.heading}</h1>
      <p class="description">{words.create.intro}</p>
      <RunForm text={text} set={setText} />
      <label for="run-file">{words.create.file}</label>
      <input
        id="run-file"
        data-testid="run-file"
        type="file"
        accept=".toml,application/toml,text/plain"
        onChange={(event) => void choose(event.currentTarget.files)}
      />
      <RunFileEditor text={text} set={setText} rows={18} />
      <p class="problem" role="alert" data-testid="problem">
        {store.problem.value}
      </p>
      <label class="check">
        <input
          type="checkbox"
          data-testid="run-start"
          checked={start}
          onChange={(event) => setStart(event.currentTarget.checked)}
        />
        {words.create.start}
      </label>
      <button type="submit" class="button primary" data-testid="create" disabled={busy}>
        {words.create.submit}
      </button>
      <p class="fine" role="status">
        {busy && words.create.busy}
      </p>
    </form>
  );
}
