// The address is the state: which page is shown.
import { signal } from '@preact/signals';

export type Route =
  | { page: 'overview' }
  | { page: 'rollout'; service: string; id: string }
  | { page: 'failures' }
  | { page: 'dashboards'; name?: string };

export function parsePath(path: string): Route {
  const parts = path.split('/').filter(Boolean).map(decodeURIComponent);
  if (parts[0] === 'r' && parts[1] && parts[2]) return { page: 'rollout', service: parts[1], id: parts[2] };
  if (parts[0] === 'failures') return { page: 'failures' };
  if (parts[0] === 'dashboards') return parts[1] ? { page: 'dashboards', name: parts[1] } : { page: 'dashboards' };
  return { page: 'overview' };
}

const initial = typeof location === 'undefined' ? '/' : location.pathname;
export const route = signal<Route>(parsePath(initial));

export function go(path: string): void {
  history.pushState(null, '', path);
  route.value = parsePath(path);
}

// Links inside the page change the address without loading it again.
export function followLinks(): void {
  addEventListener('popstate', () => (route.value = parsePath(location.pathname)));
  addEventListener('click', (event) => {
    const link = (event.target as Element | null)?.closest?.('a[href^="/"]');
    if (!link || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    const url = new URL((link as HTMLAnchorElement).href);
    go(url.pathname + url.search);
  });
}
