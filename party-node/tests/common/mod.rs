//! Folders that vanish, and the binary run with a time limit so that no test can hang.

#![allow(dead_code, reason = "each test file uses its own part")]

pub mod cases;
pub mod contract;
pub mod net;
#[cfg(unix)]
pub mod postgres;
pub mod sites;
#[cfg(unix)]
pub mod wire;

use std::fs;
use std::io::Read;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Longest any one run of the binary may take before it is ended and the test fails.
pub const LIMIT: Duration = Duration::from_secs(120);

/// A folder of its own, removed when dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    /// An empty folder; `label` helps a person who finds it.
    pub fn new(label: &str) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("consilium-test-{}-{number}-{label}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        Self(root)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A path inside it.
    pub fn at(&self, relative: &str) -> PathBuf {
        self.0.join(relative)
    }

    /// Writes a file inside it, with the folders it needs.
    pub fn write(&self, relative: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.at(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What one run of the binary left behind.
#[derive(Debug)]
pub struct Run {
    /// Exit status; none after a signal.
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Run {
    /// Standard error without what the sites log, whose lines start with `[`.
    pub fn error(&self) -> String {
        self.stderr.lines().filter(|line| !line.starts_with('[')).collect::<Vec<_>>().join("\n")
    }

    /// The stable code in front of the error, or nothing.
    pub fn code(&self) -> String {
        let error = self.error();
        let code = error.split_once(": ").map_or("", |(code, _)| code);
        let stable = code.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
        if stable { code.to_owned() } else { String::new() }
    }

    /// What a site logged.
    pub fn log_of(&self, site: &str) -> Vec<&str> {
        let prefix = format!("[{site}] ");
        self.stderr.lines().filter_map(|line| line.strip_prefix(&prefix)).collect()
    }

    /// Both streams.
    pub fn all(&self) -> String {
        format!("{}\n{}", self.stdout, self.stderr)
    }

    /// The JSON objects on standard output, one a line, of a run that must have succeeded.
    pub fn answers(&self) -> Vec<serde_json::Value> {
        assert_eq!(self.status, Some(0), "{}", self.stderr);
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// The binary with these arguments.
pub fn consilium<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_consilium"));
    command.args(arguments).env("RUST_BACKTRACE", "1");
    command
}

/// Runs to the end, or panics after [`LIMIT`].
pub fn run(command: &mut Command) -> Run {
    let began = Instant::now();
    let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (out, err) = (drain(process.stdout.take().unwrap()), drain(process.stderr.take().unwrap()));
    let status = loop {
        match process.try_wait().unwrap() {
            Some(status) => break status,
            None if began.elapsed() > LIMIT => {
                process.kill().unwrap();
                let _ = process.wait();
                panic!("{command:?} did not end within {LIMIT:?}");
            }
            None => thread::sleep(Duration::from_millis(5)),
        }
    };
    let took = began.elapsed();
    // Nodes of a sandbox share its standard error; they end with it, so its end is near.
    let text = |stream: Receiver<Vec<u8>>| {
        let bytes = stream.recv_timeout(Duration::from_secs(10)).expect("no process outlives the run");
        String::from_utf8_lossy(&bytes).into_owned()
    };
    Run { status: status.code(), stdout: text(out), stderr: text(err), took }
}

/// A sandbox over `data`.
pub fn sandbox(data: &Path, more: &[&str]) -> Run {
    run(consilium(&["sandbox", "--data", &data.to_string_lossy()]).args(more))
}

/// A process in the background, ended when dropped.
pub struct Background {
    process: Child,
    err: Receiver<Vec<u8>>,
}

impl Background {
    pub fn start(command: &mut Command) -> Self {
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let err = drain(process.stderr.take().unwrap());
        Self { process, err }
    }

    /// Ends the process; its standard error.
    pub fn stop(mut self) -> String {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let bytes = self.err.recv_timeout(Duration::from_secs(10)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Has it ended by itself?
    pub fn has_ended(&mut self) -> bool {
        self.process.try_wait().unwrap().is_some()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn drain(mut stream: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    receiver
}

/// A folder of the development data beside the repository, which a checkout alone does not have. CI must have it.
pub fn shared(relative: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared").join(relative);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "CI without the development data {relative}");
    println!("SKIPPED: the development data {relative} is not beside the repository");
    None
}

/// Looks again and again, until it is so or [`LIMIT`] has passed.
pub fn until(what: &str, mut is: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < LIMIT, "it never comes to this: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Ports of this machine that are free. They lie below those that the system gives to whoever asks for any, so that none of the
/// many connections of a test takes one before its node listens, or between two starts of it.
pub fn ports<const N: usize>() -> [u16; N] {
    const FIRST: usize = 10_000;
    const COUNT: usize = 20_000;
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    // Test programs that run at the same time begin at places of their own.
    let place = std::process::id() as usize * 131;
    let mut free = (0..COUNT).filter_map(|_| {
        let port = (FIRST + (place + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT) as u16;
        let is_free = UdpSocket::bind(("127.0.0.1", port)).is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok();
        is_free.then_some(port)
    });
    std::array::from_fn(|_| free.next().expect("a free port"))
}

/// Does every job on a few threads; the results in order.
pub fn in_parallel<T: Sync, R: Send>(jobs: &[T], threads: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let mut done: Vec<(usize, R)> = thread::scope(|scope| {
        let worker = || {
            let mut mine = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(job) = jobs.get(at) else { return mine };
                mine.push((at, work(job)));
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a job does not panic")).collect()
    });
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

/// A day of 2020, a leap year, or the first of the next.
pub fn date(after: i64) -> String {
    let mut left = after;
    for (month, days) in (1..).zip([31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]) {
        if left < days {
            return format!("2020-{month:02}-{:02}", left + 1);
        }
        left -= days;
    }
    format!("2021-01-{:02}", left + 1)
}

/// The seed of a random test: CONSILIUM_TEST_SEED, or the clock.
pub fn seed() -> u64 {
    let given = std::env::var("CONSILIUM_TEST_SEED").ok();
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    given.map_or_else(clock, |text| text.parse().expect("CONSILIUM_TEST_SEED is a number"))
}
