//! `consilium bench psi`: two CSV files in, the common identifiers out, each party its own process over QUIC on loopback.
//!
//! A party is one thread: its reading, the protocol and its network traffic share one core. The receiver owns the left file
//! and gets the identifiers that the right one has too, as its own file spells them and in its order.

mod generate;
mod party;

use std::path::PathBuf;
use std::time::Duration;

use protocols::matching::psi::Method;

use super::net::named_network;
use crate::children::{Children, Hello};
use crate::fault::NodeError;
use generate::Generated;

pub(super) use generate::cannot_write;
pub use party::{Done, Job, Read, run as party_process};

/// What is matched.
#[derive(Debug, Clone, clap::Args)]
pub struct Matching {
    /// The receiver's file
    #[arg(long, required_unless_present = "log_size", requires_all = ["right", "out"])]
    pub left: Option<PathBuf>,
    /// The sender's file
    #[arg(long, requires_all = ["left", "out"])]
    pub right: Option<PathBuf>,
    /// Where the receiver writes the common identifiers
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// The column of identifiers in both files
    #[arg(long, default_value = "id", allow_hyphen_values = true)]
    pub column: String,
    /// Instead of files: two generated sets of 2^K identifiers, half common
    #[arg(long, value_name = "K", conflicts_with_all = ["left", "right", "out", "column"])]
    pub log_size: Option<u32>,
    /// What matching is made of; by the sets' sizes if it is not said
    #[arg(long, value_enum)]
    pub method: Option<MethodName>,
}

/// A method on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum MethodName {
    /// Silent VOLE and a key-value store
    Vole,
    /// Diffie–Hellman
    Ecdh,
}

impl MethodName {
    fn text(self) -> &'static str {
        match self {
            MethodName::Vole => "vole",
            MethodName::Ecdh => "ecdh",
        }
    }
}

impl From<MethodName> for Method {
    fn from(name: MethodName) -> Method {
        match name {
            MethodName::Vole => Method::Vole,
            MethodName::Ecdh => Method::DiffieHellman,
        }
    }
}

impl From<Method> for MethodName {
    fn from(method: Method) -> MethodName {
        match method {
            Method::Vole => MethodName::Vole,
            Method::DiffieHellman => MethodName::Ecdh,
        }
    }
}

/// The files of a run.
#[derive(Debug, Clone)]
pub struct Files {
    left: PathBuf,
    right: PathBuf,
    column: String,
    out: PathBuf,
}

/// What a run found. Times are in milliseconds.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Measurement {
    /// `psi`.
    pub protocol: String,
    /// `vole` or `ecdh`.
    pub method: String,
    /// Common identifiers.
    pub matched: usize,
    /// From both being connected, before either reads, until the answer is on the disk.
    pub total_ms: f64,
    /// Of the slower party: from the file to distinct keys.
    pub read_ms: f64,
    /// Of the slower party: the protocol, base OTs included.
    pub core_ms: f64,
    /// The same without base OTs.
    pub core_without_base_ms: f64,
    /// Of the receiver: from matches to the answer's file.
    pub write_ms: f64,
    /// Bits both sent, for each identifier of the larger set.
    pub bits_per_item: f64,
    /// Of the party that took more.
    pub peak_rss_mb: f64,
    /// Left party.
    pub receiver: Party,
    /// Right party.
    pub sender: Party,
}

/// One party's part.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Party {
    /// What it read.
    #[serde(flatten)]
    pub read: Read,
    /// What it did.
    #[serde(flatten)]
    pub done: Done,
}

/// Runs a matching between two processes. The answer of generated sets is compared with what they have in common.
///
/// # Errors
/// What is wrong with a file, named with its side; what stopped the session; `WRONG_RESULT`.
pub fn run(matching: Matching) -> Result<Measurement, NodeError> {
    let Matching { left, right, out, column, log_size, method } = matching;
    if let Some(log_size) = log_size {
        let generated = Generated::new(log_size)?;
        let found = run_files(&generated.files, method)?;
        let answer = std::fs::read_to_string(&generated.files.out).unwrap_or_default();
        let right = answer == generated.answer;
        return if right { Ok(found) } else { Err(NodeError::new("WRONG_RESULT", "the answer is not the common set")) };
    }
    let (Some(left), Some(right), Some(out)) = (left, right, out) else {
        return Err(NodeError::new("NO_SUCH_FILE", "a matching needs two files and one for its answer"));
    };
    run_files(&Files { left, right, column, out }, method)
}

fn run_files(files: &Files, method: Option<MethodName>) -> Result<Measurement, NodeError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| NodeError::new("CANNOT_START", e.to_string()))?;
    runtime.block_on(async {
        let commands = SIDES.iter().enumerate().map(|(i, side)| command(files, method, i, side));
        let mut children = Children::start(commands.collect())?;
        let hellos: Vec<Hello> = children.lines().await?;
        children.introduce(&named_network(SIDES.iter().map(|side| (*side).to_owned()), hellos).checked()?).await?;
        // A file that cannot be read is told before anybody waits for its owner in the protocol.
        let read: Vec<Read> = children.lines().await?;
        let done: Vec<Done> = children.lines().await?;
        children.close(CLOSING).await;
        let mut parties = read.into_iter().zip(done).map(|(read, done)| Party { read, done });
        let both = parties.next().zip(parties.next());
        both.map(|(receiver, sender)| summary(receiver, sender))
            .ok_or_else(|| NodeError::new("CANNOT_START", "a party said nothing"))
    })
}

const SIDES: [&str; 2] = ["left", "right"];

/// How long a process may take to end.
const CLOSING: Duration = Duration::from_secs(2);

fn command(files: &Files, method: Option<MethodName>, party: usize, side: &str) -> (String, Vec<String>) {
    let file = if party == 0 { &files.left } else { &files.right };
    let text = |path: &PathBuf| path.to_string_lossy().into_owned();
    let mut arguments = vec!["child-psi".to_owned(), "--party".into(), party.to_string()];
    let values = [("--file", text(file)), ("--column", files.column.clone()), ("--out", text(&files.out))];
    arguments.extend(values.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]));
    arguments.extend(method.iter().flat_map(|method| ["--method".to_owned(), method.text().into()]));
    (side.to_owned(), arguments)
}

fn summary(receiver: Party, sender: Party) -> Measurement {
    let slower = |of: fn(&Party) -> f64| of(&receiver).max(of(&sender));
    let bytes = receiver.done.bytes + sender.done.bytes;
    let items = receiver.read.keys.max(sender.read.keys).max(1);
    Measurement {
        protocol: "psi".into(),
        method: receiver.done.method.clone(),
        matched: receiver.done.matched.unwrap_or(0),
        total_ms: slower(|party| party.done.total_ms),
        read_ms: slower(|party| party.read.read_ms),
        core_ms: slower(|party| party.done.core_ms),
        core_without_base_ms: slower(|party| party.done.core_ms - party.done.base_ms),
        write_ms: receiver.done.write_ms,
        bits_per_item: 8.0 * bytes as f64 / items as f64,
        peak_rss_mb: slower(|party| party.done.peak_rss_mb),
        receiver,
        sender,
    }
}
