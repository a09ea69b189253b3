//! Figures about a node in Prometheus' text form, on this machine alone. Names of sites and studies, codes and counts; no names of
//! analysts, no literals.
//!
//! # Source
//! Prometheus' exposition format 0.0.4. The server answers `GET /metrics` and nothing else.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::header::{CONNECTION, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::{Method, StatusCode};
use tokio::net::TcpListener;

use crate::http::{self, Asked, Reply};
use crate::state::now_ms;

/// What a node counts while it runs.
#[derive(Debug, Default)]
pub struct Meter {
    ended: Mutex<BTreeMap<String, u64>>,
    bytes: AtomicU64,
    took: Mutex<Took>,
    met: Mutex<BTreeMap<usize, u64>>,
}

/// How long questions took.
#[derive(Debug, Default)]
struct Took {
    /// How many took no longer than each of [`BOUNDS`].
    within: [u64; BOUNDS.len()],
    count: u64,
    seconds: f64,
}

/// Seconds.
const BOUNDS: [f64; 8] = [0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0];

/// Codes that are told apart: a peer may make codes up.
const MOST_CODES: usize = 100;

/// The code as it is counted beside these.
pub(crate) fn told_apart<'a>(ended: &BTreeMap<String, u64>, code: &'a str) -> &'a str {
    if ended.len() < MOST_CODES || ended.contains_key(code) { code } else { "OTHER" }
}

impl Meter {
    /// A question was answered, or why not.
    pub fn ended(&self, code: Option<&str>, took: Duration) {
        let mut ended = lock(&self.ended);
        let code = code.unwrap_or("DONE");
        let code = told_apart(&ended, code);
        *ended.entry(code.to_owned()).or_default() += 1;
        let (mut all, seconds) = (lock(&self.took), took.as_secs_f64());
        all.count += 1;
        all.seconds += seconds;
        all.within.iter_mut().zip(BOUNDS).for_each(|(within, bound)| *within += u64::from(seconds <= bound));
    }

    /// A session sent this much.
    pub fn sent(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A connection with the site of this number came about.
    pub fn met(&self, site: usize) {
        lock(&self.met).insert(site, now_ms());
    }

    /// When each site was last met, milliseconds since 1970.
    pub fn last_met(&self) -> BTreeMap<usize, u64> {
        lock(&self.met).clone()
    }

    /// Everything that is counted here.
    pub fn write(&self, out: &mut Figures) {
        out.heading("consilium_questions_total", "counter", "Questions by how they ended; DONE for an answer.");
        for (code, count) in &*lock(&self.ended) {
            out.line("consilium_questions_total", &[("code", code)], count);
        }
        out.heading("consilium_sent_bytes_total", "counter", "Bytes sent in sessions.");
        out.line("consilium_sent_bytes_total", &[], self.bytes.load(Ordering::Relaxed));
        let name = "consilium_question_seconds";
        out.heading(name, "histogram", "From a question to its end at this site.");
        let took = lock(&self.took);
        for (within, bound) in took.within.iter().zip(BOUNDS) {
            out.line(&format!("{name}_bucket"), &[("le", &bound.to_string())], within);
        }
        out.line(&format!("{name}_bucket"), &[("le", "+Inf")], took.count);
        out.line(&format!("{name}_sum"), &[], took.seconds);
        out.line(&format!("{name}_count"), &[], took.count);
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A text that grows.
#[derive(Debug, Default)]
pub struct Figures(String);

impl Figures {
    /// What the following lines are.
    pub fn heading(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String never fails.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// One figure.
    pub fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let escaped = |text: &str| text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
        let labels: Vec<String> = labels.iter().map(|(key, text)| format!("{key}=\"{}\"", escaped(text))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    /// The text.
    pub fn text(self) -> String {
        self.0
    }
}

/// Memory of this process in bytes, now and at most, where the system tells.
pub fn memory(out: &mut Figures) {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return };
    let known = [("VmRSS:", "consilium_memory_bytes"), ("VmHWM:", "consilium_memory_most_bytes")];
    for (field, name) in known {
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        if let Some(kibibytes) = kibibytes {
            out.heading(name, "gauge", "Resident memory of the node.");
            out.line(name, &[], kibibytes << 10);
        }
    }
}

/// Answers whoever asks, until it is dropped. `text` may block.
pub async fn serve(listener: TcpListener, text: impl Fn() -> String + Send + Sync + 'static) {
    let text = Arc::new(text);
    http::serve(listener, CONNECTIONS, move |asked| answer(asked, text.clone())).await;
}

/// Connections at a time.
const CONNECTIONS: usize = 8;

async fn answer(asked: Asked, text: Arc<impl Fn() -> String + Send + Sync + 'static>) -> Reply {
    let (status, body) = match asks_for_metrics(asked.method(), asked.uri().path(), http::host(asked.headers())) {
        Ok(()) => (StatusCode::OK, tokio::task::spawn_blocking(move || text()).await.unwrap_or_default()),
        Err(status) => (status, String::new()),
    };
    let mut reply = http::whole(status, "text/plain; version=0.0.4; charset=utf-8", body);
    let headers = [(X_CONTENT_TYPE_OPTIONS, "nosniff"), (CONNECTION, "close")];
    reply.headers_mut().extend(headers.map(|(name, value)| (name, HeaderValue::from_static(value))));
    reply
}

/// Only this path, and only under a name of this machine: a page in a browser that came by another name reads nothing.
fn asks_for_metrics(method: &Method, path: &str, host: Option<&str>) -> Result<(), StatusCode> {
    let host = host.unwrap_or_default();
    let here = host == "localhost"
        || host.strip_prefix("localhost:").is_some()
        || host.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_loopback())
        || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match (method, path) {
        _ if !here => Err(StatusCode::FORBIDDEN),
        (&Method::GET, "/metrics") => Ok(()),
        (&Method::GET, _) => Err(StatusCode::NOT_FOUND),
        _ => Err(StatusCode::METHOD_NOT_ALLOWED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_reads_only_metrics() {
        let get = |path, host| asks_for_metrics(&Method::GET, path, host);
        assert_eq!(get("/metrics", Some("127.0.0.1:9464")), Ok(()));
        assert_eq!(get("/metrics", Some("localhost:1")), Ok(()));
        assert_eq!(get("/metrics", Some("evil.example")), Err(StatusCode::FORBIDDEN));
        assert_eq!(get("/metrics", Some("10.0.0.1")), Err(StatusCode::FORBIDDEN));
        assert_eq!(get("/metrics", None), Err(StatusCode::FORBIDDEN));
        assert_eq!(get("/", Some("localhost")), Err(StatusCode::NOT_FOUND));
        let post = asks_for_metrics(&Method::POST, "/metrics", Some("localhost"));
        assert_eq!(post, Err(StatusCode::METHOD_NOT_ALLOWED));
    }

    #[test]
    fn a_label_cannot_forge_a_line() {
        let mut out = Figures::default();
        out.line("a", &[("study", "x\"} 7\nb{c=\"\\")], 1);
        assert_eq!(out.text(), "a{study=\"x\\\"} 7\\nb{c=\\\"\\\\\"} 1\n");
    }

    #[test]
    fn a_peer_that_makes_codes_up_fills_no_memory() {
        let meter = Meter::default();
        (0..1000).for_each(|n| meter.ended(Some(&format!("CODE_{n}")), Duration::from_secs(2)));
        let mut out = Figures::default();
        meter.write(&mut out);
        let text = out.text();
        assert_eq!(text.matches("consilium_questions_total{").count(), MOST_CODES + 1);
        assert!(text.contains("consilium_questions_total{code=\"OTHER\"} 900\n"), "{text}");
        assert!(text.contains("_bucket{le=\"1\"} 0\n") && text.contains("_bucket{le=\"5\"} 1000\n"), "{text}");
    }
}
