/** The curves as a table, for whoever cannot or does not want to read them. */
import { formatCount, formatLoss, formatPercent } from '../format.ts';
import { pickRows, type History } from '../state/history.ts';
import { texts } from '../texts.ts';

const ROWS_MAX = 24;

export function FigureTable({ history }: { history: History }) {
  const losses = new Map(history.steps.map((point) => [point.version, point.train_loss]));
  const accuracies = new Map(history.evals.map((point) => [point.version, point.accuracy]));
  const versions = [
    ...new Set([
      ...pickRows(history.steps, ROWS_MAX).map((point) => point.version),
      ...pickRows(history.evals, ROWS_MAX).map((point) => point.version),
    ]),
  ].sort((a, b) => b - a);
  const cell = (value: number | undefined, format: (value: number) => string): string =>
    value === undefined ? '–' : format(value);
  return (
    <details class="figure-table">
      <summary>{texts.charts.table}</summary>
      <div class="table-scroll" tabIndex={0} role="region" aria-label={texts.charts.tableCaption}>
        <table>
          <caption class="visually-hidden">{texts.charts.tableCaption}</caption>
          <thead>
            <tr>
              <th scope="col">{texts.charts.step}</th>
              <th scope="col">{texts.charts.loss}</th>
              <th scope="col">{texts.charts.accuracy}</th>
            </tr>
          </thead>
          <tbody>
            {versions.map((version) => (
              <tr key={version}>
                <th scope="row">{formatCount(version)}</th>
                <td>{cell(losses.get(version), formatLoss)}</td>
                <td>{cell(accuracies.get(version), (value) => formatPercent(value, 1))}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}
