/** Writes a run file by fields. Whatever else it says, its text below says, and can be changed there. */
import { useState } from 'preact/hooks';
import { Pick } from './Pick.tsx';
import { fieldsOf, runFile, type Template } from './run-form.ts';
import type { Place, Values } from './toml-places.ts';
import { words } from './words.ts';

const OPTIMIZERS = ['sgd', 'momentum', 'nesterov', 'adam', 'adamw'];
const NUMBERS: readonly Place[] = ['columns', 'classes', 'epochs', 'micro_batch', 'global_batch', 'learning_rate'];

interface FormProps {
  text: string;
  set(text: string): void;
}

export function RunForm({ text, set }: FormProps) {
  const [template, setTemplate] = useState<Template>('csv');
  const [values, setValues] = useState<Values>({});
  const [last, setLast] = useState('');
  const byHand = text !== '' && text !== last;
  const write = (template: Template, values: Values): void => {
    const toml = runFile(template, values);
    setTemplate(template);
    setValues(values);
    setLast(toml);
    set(toml);
  };
  // What another template calls its own stays out of it; a name or a title goes along.
  const change = (place: Place, value: string): void => write(template, { ...values, [place]: value });
  return (
    <details
      class="run-form"
      onToggle={(event) => {
        if (event.currentTarget.open && text === '') write(template, values);
      }}
    >
      <summary data-testid="form-open">{words.create.form}</summary>
      {byHand ? (
        <p>
          {words.create.changed}{' '}
          <button type="button" class="button plain" data-testid="form-rewrite" onClick={() => write(template, values)}>
            {words.create.rewrite}
          </button>
        </p>
      ) : (
        <div class="fields">
          <Pick
            id="form-template"
            label={words.create.template}
            value={template}
            options={Object.entries(words.create.templates)}
            set={(value) => write(value as Template, named(values))}
          />
          {fieldsOf(template).map(([place, preset]) => (
            <Field
              key={place}
              place={place}
              value={values[place] ?? preset}
              set={(value) => change(place, value)}
            />
          ))}
        </div>
      )}
    </details>
  );
}

/** What a run is called says nothing of its template. */
function named({ name, title, description }: Values): Values {
  const kept = { name, title, description };
  return Object.fromEntries(Object.entries(kept).filter(([, value]) => value !== undefined)) as Values;
}

function Field({ place, value, set }: { place: Place; value: string; set(value: string): void }) {
  const id = `form-${place}`;
  const label = words.create.fields[place];
  if (place === 'optimizer') {
    return <Pick id={id} label={label} value={value} options={OPTIMIZERS.map((one) => [one, one])} set={set} />;
  }
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input
        id={id}
        data-testid={id}
        type="text"
        inputMode={NUMBERS.includes(place) ? 'decimal' : 'text'}
        autocomplete="off"
        value={value}
        onInput={(event) => set(event.currentTarget.value)}
      />
    </div>
  );
}
