/** What stands below a list that goes on. */
import { formatCount } from '../format.ts';
import { PAGES_MAX } from './pages.ts';
import { store, type Paged } from './state.ts';
import { words } from './words.ts';

interface MoreProps {
  list: Paged;
  /** So many are shown. */
  shown: number;
  goesOn: boolean;
}

export function More({ list, shown, goesOn }: MoreProps) {
  const asked = store.pages.value[list];
  if (asked === 1 && !goesOn) return null;
  const isLast = asked >= PAGES_MAX;
  return (
    <div class="more">
      <p class="fine" role="status" data-testid={`shown-${list}`} data-value={shown}>
        {words.more.shown(formatCount(shown), goesOn)} {goesOn && isLast && words.more.program}
      </p>
      {goesOn && !isLast && (
        <button type="button" class="button plain" data-testid={`more-${list}`} onClick={() => store.more(list)}>
          {words.more.load}
        </button>
      )}
    </div>
  );
}
