/** Which page of the console an address names. Pure. */

/** What is shown, as it stands behind the # of the address. */
export type Place =
  | { page: 'overview' | 'workers' | 'events' | 'create' }
  | { page: 'run'; run: string };

/** The place that an address names; the overview for any other. */
export function placeOf(hash: string): Place {
  const [page, name] = hash.replace(/^#\/?/, '').split('/');
  if (page === 'run' && name) return { page, run: decode(name) };
  if (page === 'workers' || page === 'events' || page === 'create') return { page };
  return { page: 'overview' };
}

function decode(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

/** The address of a run's page. */
export const runAddress = (run: string): string => `#run/${encodeURIComponent(run)}`;
