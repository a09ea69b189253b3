import type { JSX } from "preact";
import { useId } from "preact/hooks";
import type { Plan } from "../api";
import { bytes } from "../format";
import { useListed, useWidth } from "../ui/parts";
import { useWords } from "../words";
import { Arrow, ArrowHead, Box, Hub, RAIL } from "./boxes";
import type { Rect, Way } from "./boxes";
import { analystLearns, ranges, sitesLearn } from "./learn";
import type { Learner } from "./learn";

/** Below this width the parties stand under each other; below the second one the sites do too. */
const NARROW = 640;
const NARROWEST = 420;
const MARGIN = 8;
const SITE_HEIGHT = 66;
const GAP = 14;

/** Who learns what, as a picture: sites, the joint computation, the analyst. */
export function Picture(props: { plan: Plan }): JSX.Element {
  const { plan } = props;
  const words = useWords();
  const listed = useListed();
  const [box, width] = useWidth(640);
  const id = useId();
  const sites = sitesLearn(plan.sites, plan.disclosures, plan.answer_at);
  const analyst = analystLearns(plan.analyst, plan.disclosures);
  const said = ({ name, numbers }: Learner) =>
    numbers.length > 0 ? words.picture.textLearns(name, ranges(numbers)) : words.picture.textNothing(name);
  const text = words.picture.text(listed(plan.sites), [...sites, analyst].map(said).join(" "));
  const at = width < NARROW ? narrow(width, sites.length) : wide(width, sites.length);
  const labels = (of: Learner) =>
    of.numbers.length > 0 ? words.picture.learns(ranges(of.numbers)) : words.picture.learnsNothing;
  return (
    <div ref={box} class="picture">
      <svg
        role="img"
        aria-labelledby={id}
        width={width}
        height={at.height}
        viewBox={`0 0 ${width} ${at.height}`}
        font-family="system-ui, sans-serif"
        font-size="13"
        fill="var(--ink)"
      >
        <title id={id}>{text}</title>
        <ArrowHead id={`${id}-head`} />
        {at.sites.map((rect) => (
          <Arrow from={rect} to={at.hub} way={at.way} head={`${id}-head`} />
        ))}
        <Arrow from={at.hub} to={at.analyst} way={at.way === "right" ? "right" : "down"} head={`${id}-head`} />
        {sites.map((site, i) => (
          <Box
            key={site.name}
            rect={at.sites[i]!}
            title={site.name}
            lines={[words.picture.rows, labels(site)]}
            learns={site.numbers.length > 0}
          />
        ))}
        <Hub
          rect={at.hub}
          title={words.picture.joint}
          lines={[
            words.picture.jointLead,
            words.picture.shares(
              // A bound on the opening alone is none on a run that works on shares.
              plan.cost.work.length > 0 ? null : words.unit.atMost(bytes(plan.cost.bytes_per_site, words)),
            ),
          ]}
        />
        <Box
          rect={at.analyst}
          title={words.picture.analyst(plan.analyst)}
          lines={[labels(analyst)]}
          learns={analyst.numbers.length > 0}
        />
      </svg>
    </div>
  );
}

interface Places {
  sites: Rect[];
  hub: Rect;
  analyst: Rect;
  /** From the sites to the computation. */
  way: Way;
  height: number;
}

/** Sites at the left, the computation in the middle, the analyst at the right. */
function wide(width: number, sites: number): Places {
  const inner = width - 2 * MARGIN;
  const height = sites * SITE_HEIGHT + (sites - 1) * GAP + 2 * MARGIN;
  const [side, middle] = [inner * 0.28, inner * 0.32];
  const rect = (x: number, w: number, y: number, h: number) => ({ x, y, w, h });
  return {
    sites: Array.from({ length: sites }, (_, i) => rect(MARGIN, side, MARGIN + i * (SITE_HEIGHT + GAP), SITE_HEIGHT)),
    hub: rect(MARGIN + inner * 0.34, middle, height / 2 - 46, 92),
    analyst: rect(width - MARGIN - side, side, height / 2 - 27, 54),
    way: "right",
    height,
  };
}

/** The same from above to below. */
function narrow(width: number, sites: number): Places {
  const inner = width - 2 * MARGIN;
  const stacked = width < NARROWEST;
  const side = stacked ? inner - RAIL : (inner - (sites - 1) * GAP) / sites;
  const step = stacked ? { x: 0, y: SITE_HEIGHT + GAP } : { x: side + GAP, y: 0 };
  const hub = MARGIN + SITE_HEIGHT + (sites - 1) * step.y + 34;
  const middle = stacked ? inner : Math.min(inner, 360);
  const rect = (x: number, y: number, w: number, h: number) => ({ x, y, w, h });
  return {
    sites: Array.from({ length: sites }, (_, i) => rect(MARGIN + i * step.x, MARGIN + i * step.y, side, SITE_HEIGHT)),
    hub: rect((width - middle) / 2, hub, middle, 78),
    analyst: rect((width - middle) / 2, hub + 78 + 34, middle, 54),
    way: stacked ? "rail" : "down",
    height: hub + 78 + 34 + 54 + MARGIN,
  };
}
