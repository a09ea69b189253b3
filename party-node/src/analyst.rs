//! The analyst's side of a run: proposes a question, waits until every site is ready, receives the sealed shares.

pub mod listen;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use mpc_core::error::LocalFault;
use mpc_core::handshake::ControlStream;
use mpc_core::identity::{Identity, Pin as KeyPin};
use mpc_core::random::os_bytes;
use mpc_core::step::StepPath;
use mpc_core::{Error, Parties, PartyId, Session};
use protocols::additive::Additive;
use query_planner::catalog::SiteName;
use query_planner::decode::Opened;
use query_planner::{Audience, Catalog, Compiled, Options, noise};
use quinn::{Connection, Endpoint};

use crate::agree::{Consult, Greeting, PROTOCOL_VERSION, Propose, Reply, Report, RunId, Signed, Start, session_id};
use crate::answers::{Answers, Kept};
use crate::blame;
use crate::callers::Callers;
use crate::connect::{self, Link, Place};
use crate::execute::{self, Ended, Met};
use crate::fault::{NodeError, printable};
use crate::finish::{self, Finished};
use crate::govern::meeting::{self, Earlier, Unmet};
use crate::govern::study::Study;
use crate::network::Network;
use crate::output::{Answer, Cost};
pub use listen::{Listener, News, Quiet, Terminal};

/// How long a site may take to answer a connection.
const DIAL_PATIENCE: Duration = Duration::from_secs(5);
/// How long sites may take for their local work.
const READY_PATIENCE: Duration = Duration::from_secs(600);
/// The analyst waits longer than the sites, so that a site's own word about whom it waited for arrives first.
const EXTRA_PATIENCE: Duration = Duration::from_millis(500);
/// Before the session begins a site may wait for several others, one after the other.
const GATHER_STEPS: u32 = 4;

/// Somebody who may ask in a network. A clone asks under the same key.
#[derive(Clone)]
pub struct Analyst {
    /// Its key, and where it asks.
    pub who: Arc<Who>,
    /// The study that questions belong to.
    pub study: Study,
    /// Answers that came out before, where asking again would tell more.
    pub answers: Arc<Answers>,
    /// Where it dials from.
    pub endpoint: Endpoint,
    /// The sites that are dialled in another way, where a node asks.
    pub callers: Option<Arc<Callers>>,
    /// How long a step of the protocol waits for a message.
    pub deadline: Duration,
    /// Hears how runs go.
    pub listener: Arc<dyn Listener>,
}

/// A key and a network.
pub struct Who {
    /// The analyst's key.
    pub identity: Arc<Identity>,
    /// The network.
    pub network: Arc<Network>,
    /// The network's catalogue.
    pub catalog: Arc<Catalog>,
}

/// What a site says to a question that it does not refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Consent {
    /// It consents.
    Given,
    /// Somebody there must decide.
    Awaited(Awaited),
}

/// For whom a plan waits at a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Awaited {
    /// How the site's stewards name the plan.
    pub plan: String,
    /// How many of them have to say yes.
    pub needs: u32,
    /// Who has, if the site tells.
    pub consents: Vec<String>,
}

/// A question and how it is to be answered.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The SQL text.
    pub sql: &'a str,
    /// What `now()` means, and who receives the answer.
    pub options: Options,
}

impl Analyst {
    /// Somebody who has not asked yet.
    pub fn new(who: Who, study: Study, endpoint: Endpoint, deadline: Duration, listener: Arc<dyn Listener>) -> Self {
        Self { who: Arc::new(who), study, answers: Arc::default(), endpoint, callers: None, deadline, listener }
    }

    /// Plans without running.
    pub fn plan(&self, question: Question<'_>) -> Result<Compiled, NodeError> {
        Ok(query_planner::plan(question.sql, &self.who.catalog, &question.options)?)
    }

    /// Runs one query.
    ///
    /// # Errors
    /// The planner's refusals, a site's refusal with the site's name, `WAITING_FOR_APPROVAL`, `RELEASE_TOO_CLOSE`, `TOO_MANY_FIGURES`, and whatever
    /// stopped the session.
    pub async fn ask(&self, question: Question<'_>) -> Result<Answer, NodeError> {
        self.ask_until(question, std::future::pending()).await
    }

    /// Runs one query unless it is told to stop, and why. A run that has begun counts as a release all the same; its sites hear the reason.
    ///
    /// # Errors
    /// As [`Analyst::ask`], and what `stop` says.
    pub async fn ask_until(
        &self,
        question: Question<'_>,
        stop: impl Future<Output = NodeError> + Send,
    ) -> Result<Answer, NodeError> {
        let mut stop = std::pin::pin!(stop);
        let began = Instant::now();
        let compiled = self.plan(question)?;
        execute::fits_a_ledger(&compiled)?;
        let propose = self.proposal(question, compiled.joint.digest());
        let run = random()?[..16].try_into().expect("a slice of 16 is 16 long");
        self.listener.hear(News::Proposed { run });
        let (links, words) = tokio::select! {
            gathered = self.gather(run, &propose) => gathered?,
            why = &mut stop => return Err(why),
        };
        let earlier = match meeting::earlier(&words, &propose.plan) {
            Ok(earlier) => earlier,
            Err(Unmet::Repeated(runs)) if compiled.joint.opens_needed() => {
                match self.answered_before(runs, compiled.joint.is_ledgered())? {
                    Some(kept) => return Ok(kept),
                    // Fresh noise is another answer, and takes its ε again.
                    None => Vec::new(),
                }
            }
            Err(unmet) if compiled.joint.is_ledgered() => return Err(unmet.into()),
            Err(_) => Vec::new(),
        };
        let start = Start { nonce: random()?, words };
        let (totals, mut cost) =
            self.compute(run, (&propose, &start), links, (&compiled, &earlier), stop.as_mut()).await?;
        let Finished { table, suppressed, disclosures } = finish::answer(&compiled, &totals).await?;
        cost.wall_ms = began.elapsed().as_millis() as u64;
        let answer = Answer { table, suppressed, disclosures, cost };
        if compiled.joint.opens_needed() {
            self.answers.keep(run, &answer);
        }
        Ok(answer)
    }

    /// The answer of one of these runs, which asked the same of the same data; none where another answer may come out.
    ///
    /// # Errors
    /// `ALREADY_RELEASED` where none may, or where the answer is kept somewhere else, which the listener hears.
    fn answered_before(&self, runs: Vec<RunId>, only_once: bool) -> Result<Option<Answer>, NodeError> {
        match self.answers.of(&runs) {
            Some(Kept::Here(answer)) => return Ok(Some(*answer)),
            Some(Kept::Elsewhere(run)) => self.listener.hear(News::Repeated { run }),
            None if !only_once => return Ok(None),
            None => (),
        }
        Err(Unmet::Repeated(runs).into())
    }

    /// What is said to every site about a question that has this plan.
    pub fn proposal(&self, question: Question<'_>, plan: [u8; 32]) -> Propose {
        let Who { network, catalog, .. } = &*self.who;
        Propose {
            sql: question.sql.to_owned(),
            now_ms: question.options.now_ms,
            audience: question.options.audience,
            noise: question.options.noise,
            network: network.digest(),
            linkage: catalog.linkage.as_ref().map(|linkage| linkage.digest.clone()),
            study: self.study.digest(),
            plan,
            step_timeout_ms: self.deadline.as_millis() as u64,
        }
    }

    /// Asks one site whether it consents, without any work on its rows. It may wait for somebody's decision as long as `hold`.
    ///
    /// # Errors
    /// The site's refusal, `SITE_UNREACHABLE`, `KEY_NOT_PINNED`, `SITE_LOST`.
    pub async fn consult(&self, site: usize, propose: &Propose, hold: Duration) -> Result<Consent, NodeError> {
        let (name, connection) = (&self.who.network.site[site].name, self.dial(site).await?);
        let asked = async {
            let mut control = ControlStream::open(&connection, GATHER_STEPS * self.deadline).await?;
            control.send(&Greeting::Consult { version: PROTOCOL_VERSION }).await?;
            control.send(&Consult { propose: propose.clone(), hold_ms: hold.as_millis() as u64 }).await?;
            control.recv_within::<Reply>(hold + READY_PATIENCE).await
        };
        let replied = asked.await.map_err(|e| lost(name, &e));
        connection.close(0u32.into(), b"heard");
        match replied? {
            Reply::Approved => Ok(Consent::Given),
            Reply::Waiting { plan, needs, consents } => Ok(Consent::Awaited(Awaited { plan, needs, consents })),
            Reply::Refuse { code, message, hint } => Err(NodeError::remote(&name.0, &code, &message, hint.as_deref())),
            Reply::Ready(_) | Reply::Entered => Err(lost(name, &"it is ready for a run that nobody began")),
        }
    }

    async fn dial(&self, site: usize) -> Result<Connection, NodeError> {
        let Who { identity, network, .. } = &*self.who;
        let way = self.callers.as_ref().and_then(|callers| callers.way_to(site));
        let (endpoint, address) = way.unwrap_or_else(|| (self.endpoint.clone(), network.site[site].address));
        let idle = connect::idle(self.deadline);
        connect::dial_at((&endpoint, address), identity, &network.site[site], DIAL_PATIENCE, idle).await
    }

    /// Proposes to every site and waits until all are ready.
    async fn gather(&self, run: RunId, propose: &Propose) -> Result<(HashMap<PartyId, Link>, Vec<Signed>), NodeError> {
        let network = &self.who.network;
        let proposing = (0..network.site.len()).map(|site| self.propose(site, run, propose));
        let replies = try_join_all(proposing).await?;
        let (mut links, mut words, mut waiting) = (HashMap::new(), Vec::new(), Vec::new());
        for (site, (link, said)) in replies.into_iter().enumerate() {
            links.insert(PartyId(site as u8), link);
            match said {
                Said::Ready(word) => words.push(*word),
                Said::Waiting(plan) => waiting.push((&network.site[site].name, plan)),
            }
        }
        match waiting.first() {
            None => Ok((links, words)),
            Some((_, awaited)) => {
                let names: Vec<&str> = waiting.iter().map(|(site, _)| site.0.as_str()).collect();
                let message = format!("plan {} waits for a decision at {}", printable(&awaited.plan), names.join(", "));
                Err(NodeError::new("WAITING_FOR_APPROVAL", message)
                    .hint("ask the same question again when it is approved"))
            }
        }
    }

    async fn propose(&self, site: usize, run: RunId, propose: &Propose) -> Result<(Link, Said), NodeError> {
        let said = self.proposed(site, run, propose).await;
        let name = &self.who.network.site[site].name;
        self.listener.hear(match &said {
            Ok((_, Said::Ready(_))) => News::Ready { site, name },
            Ok((_, Said::Waiting(awaited))) => News::Awaited { site, awaited },
            Err(why) => News::Refused { site, why },
        });
        said
    }

    async fn proposed(&self, site: usize, run: RunId, propose: &Propose) -> Result<(Link, Said), NodeError> {
        let (name, connection) = (&self.who.network.site[site].name, self.dial(site).await?);
        let asked = async {
            let mut control = ControlStream::open(&connection, GATHER_STEPS * self.deadline).await?;
            control.send(&Greeting::Question { version: PROTOCOL_VERSION, run }).await?;
            control.send(propose).await?;
            let reply: Reply = control.recv_within(READY_PATIENCE).await?;
            Ok::<_, mpc_core::handshake::HandshakeError>((control, reply))
        };
        match asked.await.map_err(|e| lost(name, &e))? {
            (control, Reply::Ready(word)) => Ok((Link { connection, control }, Said::Ready(word))),
            (control, Reply::Waiting { plan, needs, consents }) => {
                Ok((Link { connection, control }, Said::Waiting(Awaited { plan, needs, consents })))
            }
            (_, Reply::Refuse { code, message, hint }) => {
                Err(NodeError::remote(&name.0, &code, &message, hint.as_deref()))
            }
            (_, Reply::Entered | Reply::Approved) => Err(lost(name, &"it speaks of a run that has not begun")),
        }
    }

    async fn compute(
        &self,
        run: RunId,
        (propose, start): (&Propose, &Start),
        mut links: HashMap<PartyId, Link>,
        (compiled, earlier): (&Compiled, &[Earlier]),
        mut stop: Pin<&mut (impl Future<Output = NodeError> + Send)>,
    ) -> Result<(Vec<Opened>, Cost), NodeError> {
        let Who { identity, network, .. } = &*self.who;
        let sites = network.site.len();
        let pins = network.site.iter().flat_map(|s| s.pins.iter().copied());
        let mut keys: Vec<KeyPin> = pins.chain([identity.pin()]).collect();
        let id = session_id(&mut keys, &run, propose, start);
        let parties = Parties::sites_only(sites).map(Parties::with_analyst);
        let parties = parties.ok_or_else(|| NodeError::new("BAD_NUMBER_OF_SITES", "too many sites"))?;
        self.listener.hear(News::Starting);
        let entering = try_join_all(links.iter_mut().map(|(party, link)| self.enter(*party, link, start)));
        let entered = tokio::select! {
            entered = entering => entered,
            why = stop.as_mut() => Err(why),
        };
        if let Err(error) = entered {
            // Sites that have entered hear whom they need not wait for.
            connect::abort_all(&links, &error);
            return Err(error);
        }
        let place = Place { me: PartyId(sites as u8), parties, id, deadline: self.deadline + EXTRA_PATIENCE };
        let session = connect::session(place, links, |transport| transport, stop.as_mut()).await;
        let (session, controls) = session.map_err(|error| blame::with_names(error, network))?;
        self.listener.hear(News::Computing { counters: session.counters() });
        let mut engine = Additive::new(session, execute::statement(&compiled.joint));
        let met = Met { earlier, noted: &[], domain: [0; 32] };
        let running = async {
            match &compiled.joint.intersection {
                None => execute::run(&mut engine, compiled, None, met, &|_, _| Box::pin(async { Ok(()) })).await,
                Some(found) => {
                    let plan = (&compiled.joint, found);
                    execute::intersection::run(&mut engine, plan, None, async |_| Ok(()), async |_| Ok(())).await
                }
            }
        };
        let (result, told) = tokio::select! {
            result = running => (result, None),
            why = stop => (Err(stopped(&why)), Some(why)),
        };
        let session = engine.into_session();
        let ended = match result {
            Ok(ended) => ended,
            Err(error) => {
                session.abort(&error);
                // The reason travels in the packet that closes each connection.
                self.endpoint.wait_idle().await;
                return Err(told.unwrap_or_else(|| blame::explain(&error, network)));
            }
        };
        let cost = self.leave(session, controls).await;
        match ended {
            Ended::Released(Some(totals)) => Ok((totals, cost)),
            Ended::Released(None) => Err(NodeError::new("INTERNAL", "the plan reveals nothing to the analyst")),
            Ended::TooClose { .. } => Err(too_close(compiled)),
            Ended::TooWide(why) => Err(why),
        }
    }

    /// Hears from every site what it sent, and closes the connections.
    async fn leave(&self, session: Session, controls: HashMap<PartyId, ControlStream>) -> Cost {
        let (stats, network) = (session.stats(), &self.who.network);
        let parties = network.site.len();
        let mut cost = Cost { rounds: u64::from(stats.rounds), bytes: stats.bytes(), wall_ms: 0, parties };
        for mut control in controls.into_values() {
            // The answer is here; a report that does not come leaves only the cost incomplete.
            if let Ok(report) = control.recv::<Report>().await {
                cost.bytes = cost.bytes.saturating_add(report.bytes);
                cost.rounds = cost.rounds.max(u64::from(report.rounds));
            }
        }
        if let Err(error) = session.finish().await {
            // The answer is complete and checked; that somebody does not take leave does not change it.
            self.listener.hear(News::Note { text: &blame::explain(&error, network).to_string() });
        }
        cost
    }

    /// Brings a site everybody's words and waits until it has verified them.
    async fn enter(&self, party: PartyId, link: &mut Link, start: &Start) -> Result<(), NodeError> {
        let name = blame::name(party, &self.who.network);
        let heard = async {
            link.control.send(start).await?;
            link.control.recv_within::<Reply>(READY_PATIENCE).await
        };
        let heard = heard.await.map_err(|e| match connect::stopped(party, link) {
            Some(why) => blame::with_names(why, &self.who.network),
            None => NodeError::new("SITE_LOST", format!("{name}, when the session began: {e}")),
        });
        match heard? {
            Reply::Entered => {
                self.listener.hear(News::Entered { site: party.index() });
                Ok(())
            }
            Reply::Refuse { code, message, hint } => Err(NodeError::remote(&name, &code, &message, hint.as_deref())),
            _ => Err(NodeError::new("PROTOCOL_VIOLATION", format!("{name}: not what a site says when a run begins"))),
        }
    }
}

/// What a site says to a proposal that it does not refuse.
enum Said {
    Ready(Box<Signed>),
    Waiting(Awaited),
}

fn lost(name: &SiteName, why: &dyn std::fmt::Display) -> NodeError {
    NodeError::new("SITE_LOST", format!("{name}, before the session began: {why}"))
}

/// What the others hear of a run that somebody ends.
pub(crate) fn stopped(why: &NodeError) -> Error {
    let fault = LocalFault::Other(format!("{}: {}", why.code, why.message));
    Error::Local { step: StepPath::root(), fault }
}

fn too_close(compiled: &Compiled) -> NodeError {
    let other = match compiled.joint.compares_own() {
        false => "an earlier answer of this study",
        true => "an earlier answer of this study, or another figure of this question,",
    };
    let least = compiled.joint.min_patients;
    let message = format!("{other} is about almost the same patients: the two would differ by fewer than {least}");
    NodeError::new("RELEASE_TOO_CLOSE", message)
        .hint("ask for all figures of one group of patients in one question; this refusal is logged at every site")
}

/// Options of a query asked now.
pub fn options_now(audience: Audience, noise: Option<noise::Asked>) -> Options {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Options { now_ms: now.map_or(0, |d| d.as_millis() as i64), audience, noise }
}

fn random() -> Result<[u8; 32], NodeError> {
    os_bytes().map_err(|_| NodeError::new("NO_RANDOMNESS", "the operating system gave no randomness"))
}
