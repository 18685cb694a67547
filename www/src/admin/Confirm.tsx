/** A question before an order that can't be taken back. */
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { Pick } from './Pick.tsx';
import { words } from './words.ts';

/** Something that has to be given with the answer; with `options` one of those. */
export interface Field {
  /** By which the order gets it. */
  key: string;
  label: string;
  maxLength?: number;
  options?: readonly (readonly [value: string, label: string])[];
}

type Values = Record<string, string>;

/** What is asked. */
export interface Question {
  title: string;
  body: string;
  confirm: string;
  fields?: readonly Field[];
  act(values: Values): Promise<boolean>;
}

/** Asks it. */
export type Ask = (question: Question) => void;

/** Shows the question while there is one; Escape and Cancel do nothing but close it. */
export function Confirm({ question, close }: { question: Question | null; close(): void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [values, setValues] = useState<Values>({});
  // At once, so that a question is open when the news comes that the one before it was closed.
  useLayoutEffect(() => {
    setValues(Object.fromEntries((question?.fields ?? []).map(({ key, options }) => [key, options?.[0]?.[0] ?? ''])));
    if (question === null) dialog.current?.close();
    else dialog.current?.showModal();
  }, [question]);
  const submit = (event: Event): void => {
    event.preventDefault();
    if (question === null) return;
    close();
    void question.act(Object.fromEntries(Object.entries(values).map(([key, value]) => [key, value.trim()])));
  };
  const closed = (): void => {
    // Browsers tell it later, and keys may have asked again by then.
    if (dialog.current?.open === false) close();
  };
  return (
    <dialog ref={dialog} class="confirm" aria-labelledby="confirm-title" aria-describedby="confirm-body" onClose={closed}>
      {question !== null && (
        <form onSubmit={submit}>
          <h2 id="confirm-title">{question.title}</h2>
          <p id="confirm-body">{question.body}</p>
          {question.fields?.map((field) => (
            <Input
              key={field.key}
              field={field}
              value={values[field.key] ?? ''}
              set={(value) => setValues((before) => ({ ...before, [field.key]: value }))}
            />
          ))}
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

interface InputProps {
  field: Field;
  value: string;
  set(value: string): void;
}

function Input({ field: { key, label, maxLength, options }, value, set }: InputProps) {
  const id = `confirm-${key}`;
  if (options !== undefined) return <Pick id={id} label={label} value={value} options={options} set={set} />;
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input
        id={id}
        data-testid={id}
        type="text"
        required
        // A blank alone is no answer.
        pattern=".*\S.*"
        maxLength={maxLength}
        autocomplete="off"
        value={value}
        onInput={(event) => set(event.currentTarget.value)}
      />
    </div>
  );
}
