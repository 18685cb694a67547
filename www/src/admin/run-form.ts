/** A run file written by a form: a template of the command line with other values in its places. Pure. */
import cnn from '../../../server/src/cli/templates/cnn.toml?raw';
import csv from '../../../server/src/cli/templates/csv.toml?raw';
import gpt from '../../../server/src/cli/templates/gpt.toml?raw';
import mlp from '../../../server/src/cli/templates/mlp.toml?raw';
import { placesOf, type Place, type Values, written } from './toml-places.ts';

/** The run files to begin with, as `tabswarm run init` prints them. */
export const TEMPLATES = { csv, mlp, cnn, gpt };
export type Template = keyof typeof TEMPLATES;

/** The fields that a template has, in its order, with what stands there. */
export function fieldsOf(template: Template): [Place, string][] {
  return placesOf(TEMPLATES[template].replace('"NAME"', '"my-run"'));
}

/** The run file with those values; what is not given stays as it is. */
export function runFile(template: Template, values: Values): string {
  return written(TEMPLATES[template].replace('"NAME"', '"my-run"'), values);
}
