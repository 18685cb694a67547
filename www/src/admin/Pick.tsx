/** One of several, with its label. */

interface PickProps {
  /** Also by which tests find it. */
  id: string;
  label: string;
  value: string;
  options: readonly (readonly [value: string, name: string])[];
  /** The element that explains it. */
  describedBy?: string;
  set(value: string): void;
}

export function Pick({ id, label, value, options, describedBy, set }: PickProps) {
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <select
        id={id}
        data-testid={id}
        value={value}
        aria-describedby={describedBy}
        onChange={(event) => set(event.currentTarget.value)}
      >
        {options.map(([option, name]) => (
          <option key={option} value={option}>
            {name}
          </option>
        ))}
      </select>
    </div>
  );
}
