/** Other settings for a run that there is. */
import { useEffect, useState } from 'preact/hooks';
import { Confirm, type Question } from './Confirm.tsx';
import { runAddress } from './place.ts';
import { RunFileEditor } from './RunFileEditor.tsx';
import { store } from './state.ts';
import { words } from './words.ts';

export function SettingsPage({ run }: { run: string }) {
  const [text, setText] = useState<string | null>(null);
  const [was, setWas] = useState('');
  const [busy, setBusy] = useState(false);
  const [question, setQuestion] = useState<Question | null>(null);
  useEffect(() => {
    let isLeft = false;
    setText(null);
    void store.settings(run).then((read) => {
      if (isLeft || read === null) return;
      setText(read);
      setWas(read);
    });
    return () => {
      isLeft = true;
    };
  }, [run]);
  const change = async (): Promise<boolean> => {
    setBusy(true);
    const done = await store.change(run, text ?? '');
    setBusy(false);
    if (done) location.hash = runAddress(run);
    return done;
  };
  const { confirm } = words;
  const submit = (event: Event): void => {
    event.preventDefault();
    setQuestion({ title: confirm.change(run), body: confirm.changeBody, confirm: confirm.changeDo, act: change });
  };
  return (
    <>
      <p>
        <a href={runAddress(run)}>{words.settings.back(run)}</a>
      </p>
      <h1>{words.settings.heading(run)}</h1>
      <p class="description">{words.settings.intro}</p>
      <p class="problem" role="alert" data-testid="problem">
        {store.problem.value}
      </p>
      {text === null ? (
        <p class="notice">{words.health.unknown}</p>
      ) : (
        <form class="create" onSubmit={submit}>
          <RunFileEditor text={text} set={setText} rows={22} />
          <div class="run-verbs">
            <button type="submit" class="button primary" data-testid="change" disabled={busy || text === was}>
              {words.settings.submit}
            </button>
            <button
              type="button"
              class="button plain"
              data-testid="undo"
              disabled={busy || text === was}
              onClick={() => setText(was)}
            >
              {words.settings.undo}
            </button>
          </div>
          <p class="fine" role="status">
            {busy && words.settings.busy}
          </p>
        </form>
      )}
      <Confirm question={question} close={() => setQuestion(null)} />
    </>
  );
}
