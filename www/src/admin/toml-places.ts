/** The places of a run file that a form fills, found in the text so that its comments stay. Pure. */

/** What a form asks for, by the key that it stands at. */
export type Place =
  | 'name'
  | 'title'
  | 'description'
  | 'path'
  | 'label'
  | 'columns'
  | 'classes'
  | 'epochs'
  | 'micro_batch'
  | 'global_batch'
  | 'optimizer'
  | 'learning_rate';

/** What was filled in, as typed. */
export type Values = Partial<Record<Place, string>>;

interface Spot {
  section: string;
  /** What stands before the value, in a line of the section; the last such line counts. */
  before: RegExp;
  /** The value as it stands. */
  value: RegExp;
  isText: boolean;
  /** Where it is asked for only by tables. */
  format?: string;
}

const TEXT = /^"((?:[^"\\]|\\.)*)"/;
const NUMBER = /^([0-9.e+-]+)/;
const text = (section: string, key: string, format?: string): Spot => ({
  section,
  before: new RegExp(`^${key} = (?=")`),
  value: TEXT,
  isText: true,
  ...(format === undefined ? {} : { format }),
});
const number = (section: string, before: RegExp, format?: string): Spot => ({
  section,
  before,
  value: NUMBER,
  isText: false,
  ...(format === undefined ? {} : { format }),
});

const SPOTS: Record<Place, Spot> = {
  name: text('', 'name'),
  title: text('', 'title'),
  description: text('', 'description'),
  path: text('data', 'path'),
  label: text('data', 'label', 'csv'),
  columns: number('model', /^input = \[(?=\d+\]$)/, 'csv'),
  // Of the last layer, where it has no other keys.
  classes: number('model', /^ {4}\{ kind = "dense", units = (?=\d+ \},$)/),
  epochs: number('train', /^epochs = /),
  micro_batch: number('train', /^micro_batch = /),
  global_batch: number('train', /^global_batch = /),
  optimizer: text('optimizer', 'kind'),
  learning_rate: number('optimizer', /^learning_rate = /),
};

/** The places that a run file has, with their values. */
export function placesOf(toml: string): [Place, string][] {
  const found: [Place, string][] = [];
  for (const place of Object.keys(SPOTS) as Place[]) {
    const at = find(toml.split('\n'), SPOTS[place]);
    if (at !== null) found.push([place, SPOTS[place].isText ? (JSON.parse(`"${at.value}"`) as string) : at.value]);
  }
  return found;
}

/** The run file with other values; an empty number is left out, so that the server says what is missing. */
export function written(toml: string, values: Values): string {
  const lines = toml.split('\n');
  for (const [place, value] of Object.entries(values) as [Place, string][]) {
    const spot = SPOTS[place];
    const at = find(lines, spot);
    if (at === null) continue;
    const line = lines[at.line] ?? '';
    const rest = line.slice(at.start).replace(spot.value, () => (spot.isText ? JSON.stringify(value) : value.trim()));
    lines[at.line] = line.slice(0, at.start) + rest;
  }
  return lines.join('\n');
}

function find(lines: readonly string[], spot: Spot): { line: number; start: number; value: string } | null {
  let section = '';
  let found: { line: number; start: number; value: string } | null = null;
  if (spot.format !== undefined && !lines.includes(`format = "${spot.format}"`)) return null;
  lines.forEach((content, line) => {
    section = /^\[(\w+)\]$/.exec(content)?.[1] ?? section;
    const start = section === spot.section ? (spot.before.exec(content)?.[0].length ?? null) : null;
    const value = start === null ? null : spot.value.exec(content.slice(start));
    if (start !== null && value !== null) found = { line, start, value: value[1] ?? '' };
  });
  return found;
}
