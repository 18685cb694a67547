/** Lists that come in pages, of which as many are shown as were asked for. */

/** Rows of one page or of several. */
export interface Page<Row, Cursor> {
  rows: Row[];
  /** Where the next page begins; null behind the last one. */
  next: Cursor | null;
}

/** Most pages of a list that are asked for again and again; the program reaches what is behind them. */
export const PAGES_MAX = 50;

/** The first pages as one, and fewer where the list ends before. */
export async function firstPages<Row, Cursor>(
  read: (after: Cursor | null) => Promise<Page<Row, Cursor>>,
  pages: number,
): Promise<Page<Row, Cursor>> {
  let { rows, next } = await read(null);
  for (let page = 1; page < pages && next !== null; page += 1) {
    const more = await read(next);
    rows = [...rows, ...more.rows];
    next = more.next;
  }
  return { rows, next };
}
