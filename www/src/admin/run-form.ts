/** A run file written by a form: a template of the command line with other values in its places. Pure. */
import cnn from '../../../server/src/cli/templates/cnn.toml?raw';
import csv from '../../../server/src/cli/templates/csv.toml?raw';
import gpt from '../../../server/src/cli/templates/gpt.toml?raw';
import mlp from '../../../server/src/cli/templates/mlp.toml?raw';
import { placesOf, type Place, type Values, written } from './toml-places.ts';

/** The run files to begin with, as `tabswarm run init` prints them. */
const TEMPLATES = { csv, mlp, cnn, gpt };
export type Template = keyof typeof TEMPLATES;

const textOf = (template: Template): string => TEMPLATES[template].replace('"NAME"', '"my-run"');

/** The fields that a template has, with what stands there. */
export const fieldsOf = (template: Template): [Place, string][] => placesOf(textOf(template));

/** The run file with those values; what is not given stays as it is. */
export const runFile = (template: Template, values: Values): string => written(textOf(template), values);
