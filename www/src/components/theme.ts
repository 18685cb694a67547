/** The theme in use, for what a style sheet can't do. */
import { useEffect, useState } from 'preact/hooks';

const dark = window.matchMedia('(prefers-color-scheme: dark)');
const root = document.documentElement;

const inUse = (): 'light' | 'dark' => {
  const chosen = root.dataset['theme'];
  if (chosen === 'light' || chosen === 'dark') return chosen;
  return dark.matches ? 'dark' : 'light';
};

/** Changes with the theme, whether the reader chose it or the system. */
export function useTheme(): 'light' | 'dark' {
  const [theme, setTheme] = useState(inUse);
  useEffect(() => {
    const read = (): void => setTheme(inUse());
    const observer = new MutationObserver(read);
    observer.observe(root, { attributeFilter: ['data-theme'] });
    dark.addEventListener('change', read);
    return () => {
      observer.disconnect();
      dark.removeEventListener('change', read);
    };
  }, []);
  return theme;
}
