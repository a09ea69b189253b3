import { useEffect, useState } from "preact/hooks";

/** The page and what of it, from the address: `#/releases/0a1b` is ["releases", "0a1b"]. */
export function useRoute(): string[] {
  const [route, set] = useState(current);
  useEffect(() => {
    const changed = () => set(current());
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return route;
}

export function to(...route: string[]): string {
  return `#/${route.map(encodeURIComponent).join("/")}`;
}

export function go(...route: string[]): void {
  location.hash = to(...route);
}

function current(): string[] {
  return location.hash
    .replace(/^#\/?/, "")
    .split("/")
    .filter((part) => part !== "")
    .map(decoded);
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return "";
  }
}
