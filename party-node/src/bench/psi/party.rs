//! One party's process: reads its file, matches, and writes the answer if it is the receiver.

use std::path::{Path, PathBuf};
use std::time::Instant;

use mpc_core::{PartyId, PeerFault, Result, Session};
use protocols::matching::identifiers::Keys;
use protocols::matching::psi::{self, Method, Sizes};
use protocols::ot::{Extension, Ot};

use super::generate::cannot_write;
use crate::bench::measure::peak_rss_mb;
use crate::bench::net::Joining;
use crate::children::{self, Line};
use crate::fault::NodeError;
use crate::source::Ids;

/// The receiver; the other one sends.
pub const RECEIVER: PartyId = PartyId(0);

/// What a party is told.
#[derive(Debug, Clone, clap::Args)]
pub struct Job {
    /// Which party
    #[arg(long)]
    pub party: u8,
    /// Its file
    #[arg(long)]
    pub file: PathBuf,
    /// The column of identifiers
    #[arg(long, allow_hyphen_values = true)]
    pub column: String,
    /// Where the receiver writes the answer
    #[arg(long)]
    pub out: PathBuf,
    /// What matching is made of; by size if it is not said
    #[arg(long, value_enum)]
    pub method: Option<super::MethodName>,
}

/// What a party read. Its own counts, which a benchmark may tell.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Read {
    /// Rows of the file.
    pub rows: usize,
    /// Distinct identifiers.
    pub keys: usize,
    /// Rows whose identifier stood further up.
    pub duplicates: usize,
    /// Rows without an identifier.
    pub empty: usize,
    /// From the file to distinct keys.
    pub read_ms: f64,
    /// Computing time of that.
    pub read_cpu_ms: Option<f64>,
}

/// What a party did after it had read.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Done {
    /// The method's name.
    pub method: String,
    /// Identifiers in the answer, at the receiver.
    pub matched: Option<usize>,
    /// Base OTs, without what was read between their two messages.
    pub base_ms: f64,
    /// What needs no keys, and at the receiver what is done with them while it waits for that.
    pub prepare_ms: f64,
    /// Computing time until then, base OTs included.
    pub prepare_cpu_ms: Option<f64>,
    /// The rest.
    pub match_ms: f64,
    /// The protocol: the three before together.
    pub core_ms: f64,
    /// Computing time of that.
    pub core_cpu_ms: Option<f64>,
    /// Writing the answer.
    pub write_ms: f64,
    /// From the moment when both could begin to read until this one is done, all waiting included.
    pub total_ms: f64,
    /// Computing time of the process between the same moments, the system's work for it included.
    pub cpu_ms: Option<f64>,
    /// Bytes sent, frame headers included, what QUIC adds not.
    pub bytes: u64,
    /// Largest resident memory.
    pub peak_rss_mb: f64,
}

/// Runs a party.
///
/// # Errors
/// What stopped it; the parent was told too.
pub async fn run(job: Job) -> std::result::Result<(), NodeError> {
    let joining = Joining::introduce().await?;
    match begin(&job, &joining).await {
        Err(error) => children::tell(&Line::<Read>::from(Err(error)))?,
        Ok((session, _controls, began, input)) => {
            children::tell(&Line::Ok(input.report.clone()))?;
            children::tell(&Line::from(finish(&job, &joining, session, began, input).await))?;
        }
    }
    joining.endpoint.wait_idle().await;
    Ok(())
}

struct Input {
    ids: Ids,
    keys: Keys,
    report: Read,
    /// If they are set up already.
    ot: Option<Ot>,
    /// Wall and computing time of that, without the reading between.
    base_ms: f64,
    base_cpu_ms: Option<f64>,
}

/// Wall and computing time since a moment.
struct Clocks {
    wall: Instant,
    cpu: Option<f64>,
}

impl Clocks {
    fn start() -> Self {
        Self { wall: Instant::now(), cpu: cpu_ms() }
    }

    fn wall_ms(&self) -> f64 {
        self.wall.elapsed().as_secs_f64() * 1e3
    }

    fn cpu_ms(&self) -> Option<f64> {
        difference(cpu_ms(), self.cpu)
    }
}

fn difference(now: Option<f64>, then: Option<f64>) -> Option<f64> {
    now.zip(then).map(|(now, then)| now - then)
}

type Controls = std::collections::HashMap<PartyId, mpc_core::handshake::ControlStream>;

/// Files below this size may be matched without OTs: they are set up when the sizes are known.
const SMALL_FILE: u64 = 1 << 10;

async fn begin(job: &Job, joining: &Joining) -> std::result::Result<(Session, Controls, Clocks, Input), NodeError> {
    let (mut session, controls) = joining.session(PartyId(job.party)).await?;
    let is_large = std::fs::metadata(&job.file).is_ok_and(|file| file.len() >= SMALL_FILE);
    let may_need_ot = u8::from(job.method != Some(super::MethodName::Ecdh) && is_large);
    // Nobody's clock starts while the other one still connects.
    let ready = session.step("line up").exchange(&[may_need_ot]).await;
    let ready = ready.map_err(|error| joining.explain(&error))?;
    let began = Clocks::start();
    let needs_ot = ready.iter().any(|needs| needs[0] != 0);
    let input = if needs_ot {
        // The base OTs' first messages travel while both read.
        let setup = Ot::setup_meanwhile(&mut session, Extension::SoftSpoken, || read(job)).await;
        let (wall_ms, cpu_ms) = (began.wall_ms(), began.cpu_ms());
        let (ot, input) = setup.map_err(|error| joining.explain(&error))?;
        let mut input = input?;
        input.base_ms = wall_ms - input.report.read_ms;
        input.base_cpu_ms = difference(cpu_ms, input.report.read_cpu_ms);
        input.ot = Some(ot);
        input
    } else {
        read(job)?
    };
    Ok((session, controls, began, input))
}

fn read(job: &Job) -> std::result::Result<Input, NodeError> {
    let clocks = Clocks::start();
    let ids = Ids::read(&job.file, &job.column)?;
    let keys = Keys::new(&ids.texts);
    let report = Read {
        rows: ids.texts.len(),
        keys: keys.keys.len(),
        duplicates: keys.duplicates,
        empty: keys.empty,
        read_ms: clocks.wall_ms(),
        read_cpu_ms: clocks.cpu_ms(),
    };
    Ok(Input { ids, keys, report, ot: None, base_ms: 0.0, base_cpu_ms: Some(0.0) })
}

async fn finish(
    job: &Job,
    joining: &Joining,
    mut session: Session,
    began: Clocks,
    mut input: Input,
) -> std::result::Result<Done, NodeError> {
    let mut done = Done::default();
    let matched = core(&mut session, job, &mut input, &mut done).await;
    let matched = joining.end(&session, matched).await?;
    if let Some(matched) = matched {
        let clocks = Clocks::start();
        write(&job.out, &input, &matched)?;
        done.write_ms = clocks.wall_ms();
        done.matched = Some(matched.len());
    }
    done.total_ms = began.wall_ms();
    done.cpu_ms = began.cpu_ms();
    done.bytes = session.stats().bytes();
    done.peak_rss_mb = peak_rss_mb();
    Ok(done)
}

/// The protocol. The positions of the receiver's matches, at the receiver.
async fn core(session: &mut Session, job: &Job, input: &mut Input, done: &mut Done) -> Result<Option<Vec<usize>>> {
    let (keys, early, early_ms) = (&input.keys, input.ot.take(), input.base_ms);
    let early_cpu_ms = input.base_cpu_ms;
    let computed = |clocks: &Clocks| clocks.cpu_ms().zip(early_cpu_ms).map(|(now, early)| now + early);
    let sizes = sizes(session, keys.keys.len()).await?;
    let other = PartyId(1 - job.party);
    let method = job.method.map_or_else(|| psi::choose(sizes.sender, sizes.receiver), Method::from);
    done.method = super::MethodName::from(method).text().into();
    let clocks = Clocks::start();
    let mut ot = match (early, method) {
        (Some(ot), _) => ot,
        (None, Method::Vole) => Ot::setup(session).await?,
        (None, Method::DiffieHellman) => Ot::none(),
    };
    let late_ms = clocks.wall_ms();
    done.base_ms = early_ms + late_ms;
    let matched = if job.party == RECEIVER.0 {
        let receiver = psi::prepare_receive_for(session, &mut ot, method, other, sizes, &keys.keys).await?;
        done.prepare_ms = clocks.wall_ms() - late_ms;
        done.prepare_cpu_ms = computed(&clocks);
        Some(receiver.receive(session, &keys.keys).await?)
    } else {
        let sender = psi::prepare_send(session, &mut ot, method, other, sizes).await?;
        done.prepare_ms = clocks.wall_ms() - late_ms;
        done.prepare_cpu_ms = computed(&clocks);
        sender.send(session, &keys.keys).await?;
        None
    };
    done.core_ms = early_ms + clocks.wall_ms();
    done.core_cpu_ms = computed(&clocks);
    done.match_ms = done.core_ms - done.prepare_ms - done.base_ms;
    Ok(matched)
}

/// Both sizes, once both have read.
async fn sizes(session: &mut Session, own: usize) -> Result<Sizes> {
    let mut session = session.step("sizes");
    let (me, other) = (session.me(), session.other_sites()[0]);
    session.send(other, &[own as u64])?;
    let theirs = session.recv::<u64>(other, 1).await?[0];
    let theirs = usize::try_from(theirs).map_err(|_| session.peer(other, PeerFault::NonCanonical("size")))?;
    Ok(if me == RECEIVER { Sizes { sender: theirs, receiver: own } } else { Sizes { sender: own, receiver: theirs } })
}

/// The column's name and the matched identifiers, as the file spells them and in its order.
fn write(path: &Path, input: &Input, matched: &[usize]) -> std::result::Result<(), NodeError> {
    let rows: Vec<usize> = matched.iter().map(|key| input.keys.row(*key)).collect();
    let file = input.ids.texts.csv(&input.ids.column, &rows);
    std::fs::write(path, file.bytes()).map_err(|e| cannot_write(path, &e))
}

/// Computing time of this process so far, where the system says it.
fn cpu_ms() -> Option<f64> {
    let tasks = std::fs::read_dir("/proc/self/task").ok()?;
    let of_task = |task: std::io::Result<std::fs::DirEntry>| {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    };
    Some(tasks.map(|task| of_task(task).unwrap_or(0.0)).sum::<f64>() / 1e6)
}
