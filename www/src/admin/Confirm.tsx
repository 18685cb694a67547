/** A question before an order that can't be taken back. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { words } from './words.ts';

/** What is asked. With `field` a name has to be given, which the order gets. */
export interface Question {
  title: string;
  body: string;
  confirm: string;
  field?: string;
  act(name: string): Promise<boolean>;
}

/** Shows the question while there is one; Escape and Cancel do nothing but close it. */
export function Confirm({ question, close }: { question: Question | null; close(): void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [name, setName] = useState('');
  useEffect(() => {
    setName('');
    if (question === null) dialog.current?.close();
    else dialog.current?.showModal();
  }, [question]);
  const submit = (event: Event): void => {
    event.preventDefault();
    if (question === null) return;
    close();
    void question.act(name.trim());
  };
  return (
    <dialog ref={dialog} class="confirm" aria-labelledby="confirm-title" onClose={close}>
      {question !== null && (
        <form onSubmit={submit}>
          <h2 id="confirm-title">{question.title}</h2>
          <p>{question.body}</p>
          {question.field !== undefined && (
            <>
              <label for="confirm-name">{question.field}</label>
              <input
                id="confirm-name"
                data-testid="confirm-name"
                type="text"
                required
                autocomplete="off"
                value={name}
                onInput={(event) => setName(event.currentTarget.value)}
              />
            </>
          )}
          <div class="confirm-buttons">
            <button type="button" class="button plain" data-testid="confirm-cancel" onClick={close}>
              {words.confirm.cancel}
            </button>
            <button type="submit" class="button danger" data-testid="confirm-do">
              {question.confirm}
            </button>
          </div>
        </form>
      )}
    </dialog>
  );
}
