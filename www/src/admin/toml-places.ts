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
  isText: boolean;
}

const TEXT = /^"((?:[^"\\]|\\.)*)"/;
const NUMBER = /^([0-9.e+-]+)/;
const text = (section: string, key: string): Spot => ({ section, before: new RegExp(`^${key} = (?=")`), isText: true });
const number = (section: string, before: RegExp): Spot => ({ section, before, isText: false });

const SPOTS: Record<Place, Spot> = {
  name: text('', 'name'),
  title: text('', 'title'),
  description: text('', 'description'),
  path: text('data', 'path'),
  label: text('data', 'label'),
  columns: number('model', /^input = \[(?=\d+\]$)/),
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
  const lines = toml.split('\n');
  const found: [Place, string][] = [];
  for (const [place, spot] of Object.entries(SPOTS) as [Place, Spot][]) {
    const at = find(lines, place);
    if (at !== null) found.push([place, spot.isText ? (JSON.parse(`"${at.value}"`) as string) : at.value]);
  }
  return found;
}

/** The run file with other values; an empty number is left out, so that the server says what is missing. */
export function written(toml: string, values: Values): string {
  const lines = toml.split('\n');
  for (const [place, value] of Object.entries(values) as [Place, string][]) {
    const at = find(lines, place);
    if (at === null) continue;
    const { isText } = SPOTS[place];
    const line = lines[at.line] ?? '';
    const rest = line.slice(at.start).replace(isText ? TEXT : NUMBER, () => (isText ? JSON.stringify(value) : value.trim()));
    lines[at.line] = line.slice(0, at.start) + rest;
  }
  return lines.join('\n');
}

interface Found {
  line: number;
  start: number;
  /** As it stands there. */
  value: string;
}

function find(lines: readonly string[], place: Place): Found | null {
  // Texts have one input as well, which is no column: it follows from their windows.
  if (place === 'columns' && !lines.includes('format = "csv"')) return null;
  const spot = SPOTS[place];
  let section = '';
  let found: Found | null = null;
  lines.forEach((content, line) => {
    section = /^\[(\w+)\]$/.exec(content)?.[1] ?? section;
    const before = section === spot.section ? spot.before.exec(content) : null;
    if (before === null) return;
    const start = before[0].length;
    const value = (spot.isText ? TEXT : NUMBER).exec(content.slice(start));
    if (value !== null) found = { line, start, value: value[1] ?? '' };
  });
  return found;
}
