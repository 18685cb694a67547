/** Which page of the console an address names. Pure. */

/** What is shown, as it stands behind the # of the address. */
export type Place =
  | { page: 'overview' | 'workers' | 'events' | 'tokens' | 'create' }
  | { page: 'run' | 'settings'; run: string };

/** The place that an address names; the overview for any other. */
export function placeOf(hash: string): Place {
  const [page, name] = hash.replace(/^#\/?/, '').split('/');
  if ((page === 'run' || page === 'settings') && name) return { page, run: decode(name) };
  if (page === 'workers' || page === 'events' || page === 'tokens' || page === 'create') return { page };
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

/** The address of the page on which a run's settings are changed. */
export const settingsAddress = (run: string): string => `#settings/${encodeURIComponent(run)}`;
