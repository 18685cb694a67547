/** A table of the console that is scrolled by itself where it is wider than the page, and what its rows can be told. */
import { isValidElement, type ComponentChildren } from 'preact';
import { words } from './words.ts';

/** Named by a text, or by the heading with that id. */
type Name = { label: string } | { labelledBy: string };

type TableProps = Name & {
  testId: string;
  /** Texts, or whole cells. */
  columns: readonly ComponentChildren[];
  /** The last column is for buttons. */
  hasActs?: boolean;
  /** The class of the frame: how large it is. */
  frame?: string;
  /** Stands below the rows. */
  note?: ComponentChildren;
  children: ComponentChildren;
};

export function DataTable({ testId, columns, hasActs = false, frame = 'wide', note, children, ...name }: TableProps) {
  const named = 'label' in name ? { 'aria-label': name.label } : { 'aria-labelledby': name.labelledBy };
  return (
    <div class={`table-scroll ${frame}`} tabIndex={0} role="region" {...named}>
      <table class="data-table" data-testid={testId}>
        <thead>
          <tr>
            {columns.map((column, idx) =>
              isValidElement(column) ? (
                column
              ) : (
                <th key={idx} scope="col">
                  {column}
                </th>
              ),
            )}
            {hasActs && (
              <th scope="col" class="acts">
                {words.run.actions}
              </th>
            )}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
      {note}
    </div>
  );
}

interface ActProps {
  testId: string;
  label: string;
  /** What it is done to, for those who do not see the row. */
  to: string;
  isDanger?: boolean;
  disabled?: boolean;
  onClick(): void;
}

/** A button of a row. */
export function Act({ testId, label, to, isDanger = false, disabled = false, onClick }: ActProps) {
  return (
    <button
      type="button"
      class={`button ${isDanger ? 'danger' : 'plain'}`}
      data-testid={testId}
      disabled={disabled}
      aria-label={`${label}: ${to}`}
      onClick={onClick}
    >
      {label}
    </button>
  );
}
