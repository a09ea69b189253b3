/** The light colours of style.css: what is downloaded is printed on white. A test holds the two lists together. */
export const PAPER: Record<string, string> = {
  "--paper": "#ffffff",
  "--ink": "#1b2328",
  "--quiet": "#55636b",
  "--line": "#cdd5d9",
  "--soft": "#f3f6f7",
  "--accent": "#12515f",
  "--on-accent": "#ffffff",
  "--plot": "#1b6f83",
};

/** SVG text with the colours of paper in place of the page's. */
export function onPaper(svg: string): string {
  return svg.replace(/var\((--[a-z-]+)\)/g, (whole, name: string) => PAPER[name] ?? whole);
}
