/** A labelled figure in a description list. */
import type { ComponentChildren } from 'preact';

interface FigureProps {
  label: string;
  /** As read by people. */
  value: ComponentChildren;
  /** As read by tests: the bare number, where there is one. */
  raw?: number | null | undefined;
  testId?: string;
  help?: string;
  tone?: 'mine' | 'trouble';
}

export function Figure({ label, value, raw, testId, help, tone }: FigureProps) {
  return (
    <div class="figure" data-tone={tone}>
      <dt>{label}</dt>
      <dd>
        <span class="figure-value" data-testid={testId} data-value={raw ?? undefined}>
          {value}
        </span>
        {help !== undefined && <span class="figure-help">{help}</span>}
      </dd>
    </div>
  );
}
