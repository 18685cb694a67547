/** Writes a run file by fields. Whatever else it says, its text below says, and can be changed there. */
import { useState } from 'preact/hooks';
import { fieldsOf, runFile, TEMPLATES, type Template } from './run-form.ts';
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
          <div class="field">
            <label for="form-template">{words.create.template}</label>
            <select
              id="form-template"
              data-testid="form-template"
              value={template}
              onChange={(event) => write(event.currentTarget.value as Template, named(values))}
            >
              {(Object.keys(TEMPLATES) as Template[]).map((one) => (
                <option key={one} value={one}>
                  {words.create.templates[one]}
                </option>
              ))}
            </select>
          </div>
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
  const isNumber = NUMBERS.includes(place);
  return (
    <div class="field">
      <label for={id}>{words.create.fields[place]}</label>
      {place === 'optimizer' ? (
        <select id={id} data-testid={id} value={value} onChange={(event) => set(event.currentTarget.value)}>
          {OPTIMIZERS.map((one) => (
            <option key={one} value={one}>
              {one}
            </option>
          ))}
        </select>
      ) : (
        <input
          id={id}
          data-testid={id}
          type="text"
          inputMode={isNumber ? 'decimal' : 'text'}
          autocomplete="off"
          value={value}
          onInput={(event) => set(event.currentTarget.value)}
        />
      )}
    </div>
  );
}
