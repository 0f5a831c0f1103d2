import { render } from 'preact';
import { followEvents, link } from './api';
import { DashboardsPage } from './dashboards';
import { FailuresPage } from './failures';
import { timeZone } from './format';
import { Overview } from './overview';
import { RolloutPage } from './rollout';
import { followLinks, route } from './route';
import './style.css';

const links = [['/', 'Overview', 'overview'], ['/failures', 'Failures', 'failures'], ['/dashboards', 'Dashboards', 'dashboards']] as const;

function Page() {
  const r = route.value;
  switch (r.page) {
    case 'rollout': return <RolloutPage key={r.id} id={r.id} />;
    case 'failures': return <FailuresPage />;
    case 'dashboards': return <DashboardsPage name={r.name} />;
    default: return <Overview />;
  }
}

function App() {
  const page = route.value.page === 'rollout' ? 'overview' : route.value.page;
  const state = link.value;
  return (
    <>
      <header class="top">
        <a href="/" class="name">coalmine</a>
        <nav>{links.map(([href, text, id]) => <a key={id} href={href} aria-current={page === id ? 'page' : undefined}>{text}</a>)}</nav>
        <span class="zone">{timeZone()}</span>
        <span class={`link ${state}`}>{state === 'live' ? '● live' : state === 'connecting' ? '◐ connecting' : '○ offline'}</span>
      </header>
      <main><Page /></main>
    </>
  );
}

followLinks();
followEvents();
render(<App />, document.getElementById('app')!);
