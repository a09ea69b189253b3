import type { JSX } from "preact";
import { AskPage } from "./analyst/ask";
import { CatalogPage } from "./analyst/catalog";
import { JobPage } from "./analyst/job";
import { JobsPage } from "./analyst/jobs";
import type { Me, Role } from "./api";
import { InboxPage } from "./steward/inbox";
import { LogPage } from "./steward/log";
import { NetworkPage } from "./steward/network";
import { PolicyPage } from "./steward/policy";
import { ReleasesPage } from "./steward/releases";
import { ReviewPage } from "./steward/review";
import { TrailPage } from "./steward/trail";
import { Title } from "./ui/parts";
import type { Page } from "./ui/shell";
import { useWords } from "./words";

type Draw = (me: Me, rest: string[]) => JSX.Element;

/** Every page, in the order of the menu, and whose it is. */
const PAGES: [Page["name"], Role, Draw][] = [
  ["inbox", "steward", (me, [plan]) => (plan ? <ReviewPage me={me} plan={plan} /> : <InboxPage me={me} />)],
  ["releases", "steward", (me, [id]) => (id ? <TrailPage id={id} /> : <ReleasesPage me={me} />)],
  ["policy", "steward", () => <PolicyPage />],
  ["network", "steward", (me) => <NetworkPage me={me} />],
  ["log", "steward", () => <LogPage />],
  ["ask", "analyst", (me, rest) => <AskPage me={me} from={rest} />],
  ["catalog", "analyst", () => <CatalogPage />],
  ["jobs", "analyst", (_, [id]) => (id ? <JobPage id={id} /> : <JobsPage />)],
];

export function pagesOf(me: Me, waiting: number): Page[] {
  const own = PAGES.filter(([, role]) => me.roles.includes(role));
  return own.map(([name]) => ({ name, badge: name === "inbox" ? waiting : 0 }));
}

export function pageOf(name: string, rest: string[], me: Me): JSX.Element {
  const found = PAGES.find(([page, role]) => page === name && me.roles.includes(role));
  return found ? found[2](me, rest) : <Nowhere />;
}

function Nowhere(): JSX.Element {
  return <Title>{useWords().shell.noSuchPage}</Title>;
}
