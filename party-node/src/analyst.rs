//! The analyst's side of a run: proposes a question, waits until every site is ready, receives the sealed shares.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use mpc_core::handshake::ControlStream;
use mpc_core::identity::{Identity, Pin};
use mpc_core::random::os_bytes;
use mpc_core::{Parties, PartyId};
use protocols::additive::Additive;
use query_planner::decode::Opened;
use query_planner::{Audience, Catalog, Compiled, Options, noise};
use quinn::Endpoint;

use crate::agree::{Greeting, JobId, PROTOCOL_VERSION, Propose, Reply, Report, Signed, Start, session_id};
use crate::answers::Answers;
use crate::blame;
use crate::connect::{self, Link, Place};
use crate::execute::{self, Ended, Met};
use crate::fault::{NodeError, printable};
use crate::finish::{self, Finished};
use crate::govern::meeting::{self, Earlier};
use crate::govern::study::Study;
use crate::network::Network;
use crate::output::{Answer, Cost};

/// How long a site may take to answer a connection.
const DIAL_PATIENCE: Duration = Duration::from_secs(5);
/// How long sites may take for their local work.
const READY_PATIENCE: Duration = Duration::from_secs(600);
/// The analyst waits longer than the sites, so that a site's own word about whom it waited for arrives first.
const EXTRA_PATIENCE: Duration = Duration::from_millis(500);
/// Before the session begins a site may wait for several others, one after the other.
const GATHER_STEPS: u32 = 4;

/// Somebody who may ask in a network.
pub struct Analyst {
    /// Its key.
    pub identity: Identity,
    /// The network.
    pub network: Network,
    /// The network's catalogue.
    pub catalog: Catalog,
    /// The study that questions belong to.
    pub study: Study,
    /// Answers that came out before, where asking again would tell more.
    pub answers: Answers,
    /// Where it dials from.
    pub endpoint: Endpoint,
    /// How long a step of the protocol waits for a message.
    pub deadline: Duration,
    /// Tell on standard error how the run goes.
    pub progress: bool,
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
    /// Plans without running.
    pub fn plan(&self, question: Question<'_>) -> Result<Compiled, NodeError> {
        Ok(query_planner::plan(question.sql, &self.catalog, &question.options)?)
    }

    /// Runs one query.
    ///
    /// # Errors
    /// The planner's refusals, a site's refusal with the site's name, `WAITING_FOR_APPROVAL`, `RELEASE_TOO_CLOSE`, `TOO_MANY_FIGURES`, and whatever
    /// stopped the session.
    pub async fn ask(&self, question: Question<'_>) -> Result<Answer, NodeError> {
        let began = Instant::now();
        let compiled = self.plan(question)?;
        execute::fits_a_ledger(&compiled)?;
        let propose = Propose {
            sql: question.sql.to_owned(),
            now_ms: question.options.now_ms,
            audience: question.options.audience,
            noise: question.options.noise,
            network: self.network.digest(),
            linkage: self.catalog.linkage.as_ref().map(|linkage| linkage.digest.clone()),
            study: self.study.digest(),
            plan: compiled.joint.digest(),
            step_timeout_ms: self.deadline.as_millis() as u64,
        };
        let job = random()?[..16].try_into().expect("a slice of 16 is 16 long");
        let (links, words) = self.gather(job, &propose).await?;
        let earlier = match meeting::earlier(&words, &propose.plan) {
            Ok(earlier) => earlier,
            Err(repeated) => match self.answers.get(&propose) {
                Some(kept) if compiled.joint.opens_needed() => return Ok(kept),
                _ if compiled.joint.is_ledgered() => return Err(repeated),
                // Fresh noise is another answer, and takes its ε again.
                _ => Vec::new(),
            },
        };
        let start = Start { nonce: random()?, words };
        let (totals, mut cost) = self.compute(job, (&propose, &start), links, &compiled, &earlier).await?;
        let Finished { table, suppressed, disclosures } = finish::answer(&compiled, &totals).await?;
        cost.wall_ms = began.elapsed().as_millis() as u64;
        let answer = Answer { table, suppressed, disclosures, cost };
        if compiled.joint.opens_needed() {
            self.answers.keep(&propose, &answer);
        }
        Ok(answer)
    }

    fn say(&self, text: &str) {
        if self.progress {
            eprintln!("{text}");
        }
    }

    /// Proposes to every site and waits until all are ready.
    async fn gather(&self, job: JobId, propose: &Propose) -> Result<(HashMap<PartyId, Link>, Vec<Signed>), NodeError> {
        let sites = 0..self.network.site.len();
        let replies = try_join_all(sites.map(|site| self.propose(site, job, propose))).await?;
        let (mut links, mut words, mut waiting) = (HashMap::new(), Vec::new(), Vec::new());
        for (site, (link, said)) in replies.into_iter().enumerate() {
            links.insert(PartyId(site as u8), link);
            match said {
                Said::Ready(word) => words.push(*word),
                Said::Waiting(plan) => waiting.push((&self.network.site[site].name, plan)),
            }
        }
        match waiting.first() {
            None => Ok((links, words)),
            Some((_, plan)) => {
                let names: Vec<&str> = waiting.iter().map(|(site, _)| site.0.as_str()).collect();
                let message = format!("plan {} waits for a decision at {}", printable(plan), names.join(", "));
                Err(NodeError::new("WAITING_FOR_APPROVAL", message)
                    .hint("ask the same question again when it is approved"))
            }
        }
    }

    async fn propose(&self, site: usize, job: JobId, propose: &Propose) -> Result<(Link, Said), NodeError> {
        let name = &self.network.site[site].name;
        let lost =
            |e: &dyn std::fmt::Display| NodeError::new("SITE_LOST", format!("{name}, before the session began: {e}"));
        let connection = connect::dial(
            &self.endpoint,
            &self.identity,
            &self.network,
            site,
            DIAL_PATIENCE,
            connect::idle(self.deadline),
        )
        .await?;
        let asked = async {
            let mut control = ControlStream::open(&connection, GATHER_STEPS * self.deadline).await?;
            control.send(&Greeting::Question { version: PROTOCOL_VERSION, job }).await?;
            control.send(propose).await?;
            let reply: Reply = control.recv_within(READY_PATIENCE).await?;
            Ok::<_, mpc_core::handshake::HandshakeError>((control, reply))
        };
        match asked.await.map_err(|e| lost(&e))? {
            (control, Reply::Ready(word)) => {
                self.say(&format!("{name}: ready"));
                Ok((Link { connection, control }, Said::Ready(word)))
            }
            (control, Reply::Waiting { plan }) => Ok((Link { connection, control }, Said::Waiting(plan))),
            (_, Reply::Refuse { code, message, hint }) => {
                Err(NodeError::remote(&name.0, &code, &message, hint.as_deref()))
            }
            (_, Reply::Entered) => Err(lost(&"it entered a run that has not begun")),
        }
    }

    async fn compute(
        &self,
        job: JobId,
        (propose, start): (&Propose, &Start),
        mut links: HashMap<PartyId, Link>,
        compiled: &Compiled,
        earlier: &[Earlier],
    ) -> Result<(Vec<Opened>, Cost), NodeError> {
        let sites = self.network.site.len();
        let pins = self.network.site.iter().flat_map(|s| s.pins.iter().copied());
        let mut keys: Vec<Pin> = pins.chain([self.identity.pin()]).collect();
        let id = session_id(&mut keys, &job, propose, start);
        let parties = Parties::sites_only(sites).map(Parties::with_analyst);
        let parties = parties.ok_or_else(|| NodeError::new("BAD_NUMBER_OF_SITES", "too many sites"))?;
        let entered = try_join_all(links.iter_mut().map(|(party, link)| self.enter(*party, link, start))).await;
        if let Err(error) = entered {
            // Sites that have entered hear whom they need not wait for.
            connect::abort_all(&links, &error);
            return Err(error);
        }
        self.say("all sites are ready; computing");
        let place = Place { me: PartyId(sites as u8), parties, id, deadline: self.deadline + EXTRA_PATIENCE };
        let session = connect::session(place, links, |transport| transport).await;
        let (session, controls) = session.map_err(|error| blame::with_names(error, &self.network))?;
        let mut engine = Additive::new(session, execute::statement(&compiled.joint));
        let met = Met { earlier, noted: &[], domain: [0; 32] };
        let result = match &compiled.joint.intersection {
            None => execute::run(&mut engine, compiled, None, met, async |_| Ok(())).await,
            Some(found) => {
                let plan = (&compiled.joint, found);
                execute::intersection::run(&mut engine, plan, None, async |_| Ok(()), async |_| Ok(())).await
            }
        };
        let session = engine.into_session();
        let ended = match result {
            Ok(ended) => ended,
            Err(error) => {
                session.abort(&error);
                // The reason travels in the packet that closes each connection.
                self.endpoint.wait_idle().await;
                return Err(blame::explain(&error, &self.network));
            }
        };
        let stats = session.stats();
        let mut cost = Cost { rounds: u64::from(stats.rounds), bytes: stats.bytes(), wall_ms: 0, parties: sites };
        for mut control in controls.into_values() {
            // The answer is here; a report that does not come leaves only the cost incomplete.
            if let Ok(report) = control.recv::<Report>().await {
                cost.bytes = cost.bytes.saturating_add(report.bytes);
                cost.rounds = cost.rounds.max(u64::from(report.rounds));
            }
        }
        if let Err(error) = session.finish().await {
            // The answer is complete and checked; that somebody does not take leave does not change it.
            self.say(&blame::explain(&error, &self.network).to_string());
        }
        match ended {
            Ended::Released(Some(totals)) => Ok((totals, cost)),
            Ended::Released(None) => Err(NodeError::new("INTERNAL", "the plan reveals nothing to the analyst")),
            Ended::TooClose { .. } => Err(too_close(compiled)),
            Ended::TooWide(why) => Err(why),
        }
    }

    /// Brings a site everybody's words and waits until it has verified them.
    async fn enter(&self, party: PartyId, link: &mut Link, start: &Start) -> Result<(), NodeError> {
        let name = blame::name(party, &self.network);
        let lost = |e| NodeError::new("SITE_LOST", format!("{name}, when the session began: {e}"));
        link.control.send(start).await.map_err(lost)?;
        match link.control.recv_within::<Reply>(READY_PATIENCE).await.map_err(lost)? {
            Reply::Entered => Ok(()),
            Reply::Refuse { code, message, hint } => Err(NodeError::remote(&name, &code, &message, hint.as_deref())),
            _ => Err(NodeError::new("PROTOCOL_VIOLATION", format!("{name}: not what a site says when a run begins"))),
        }
    }
}

/// What a site says to a question that it does not refuse.
enum Said {
    Ready(Box<Signed>),
    Waiting(String),
}

fn too_close(compiled: &Compiled) -> NodeError {
    let other = match compiled.joint.side_by_side.is_empty() {
        true => "an earlier answer of this study",
        false => "an earlier answer of this study, or another figure of this question,",
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
