/** A moment as people read it, and as programs do. */

const moments = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });

export function Moment({ at_ms }: { at_ms: number }) {
  return <time dateTime={new Date(at_ms).toISOString()}>{moments.format(at_ms)}</time>;
}
