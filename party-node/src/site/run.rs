//! One run at a site: everybody's words, the session, the answer, and what is kept of it.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use mpc_core::handshake::ControlStream;
use mpc_core::identity::Pin;
use mpc_core::stats::Stats;
use mpc_core::transport::quic;
use mpc_core::{Parties, PartyId, Session};
use protocols::additive::Additive;
use query_planner::Compiled;
use query_planner::decode::Opened;
use query_planner::intersection::Intersection;
use quinn::Connection;
use tokio::time::{Instant, timeout, timeout_at};
use zeroize::Zeroizing;

use super::prepare::{Prepared, Ready};
use super::{MAX_RUNS, Site, closing, refuse, violation};
use crate::agree::{Propose, Reply, Report, RunId, Start, session_id};
use crate::analyst::stopped;
use crate::blame;
use crate::connect::{self, Link, Place};
use crate::drill::Drill;
use crate::execute::{self, Ended, Met};
use crate::fault::NodeError;
use crate::finish::{self, Finished};
use crate::govern::approval::Asked;
use crate::govern::gate::Asker;
use crate::govern::meeting::{self, Earlier, Extent};
use crate::govern::sets::Sets;
use crate::local::common::OwnSet;
use crate::log::{self, LogForm};
use crate::output::{Answer, Cost, Format};
use crate::source::BoundData;
use crate::state::audit::{SiteHead, Step};
use crate::state::ledger::{Progress, Release, Terms};
use crate::state::{State, now_ms};

/// How long a site that is ready waits for the others to become ready.
const START_PATIENCE: Duration = Duration::from_secs(600);
/// How much longer than a step a site that is done waits to hear how the run ended.
const OUTCOME_MARGIN: Duration = Duration::from_secs(3);
/// A run may not ask for a shorter wait than this at a step.
const MIN_STEP_TIMEOUT: Duration = Duration::from_millis(500);

/// What a run meets at a site: earlier releases, and the site's own patients behind them.
struct Entered {
    earlier: Vec<Earlier>,
    noted: Vec<Sets>,
}

impl Entered {
    fn met(&self, data: &BoundData) -> Met<'_> {
        Met { earlier: &self.earlier, noted: &self.noted, domain: data.study() }
    }
}

impl Site {
    pub(super) async fn take_part(
        self: &Arc<Self>,
        run: RunId,
        asker: &Asker,
        mut link: Link,
    ) -> Result<(), NodeError> {
        if let Err(stopping) = self.closing.is_open() {
            return self.turn_away(link, stopping).await;
        }
        let Ok(_permit) = self.room.try_acquire() else {
            let busy = NodeError::new("SITE_BUSY", format!("{MAX_RUNS} runs are going on")).hint("try again later");
            return self.turn_away(link, busy).await;
        };
        let propose: Propose = link.control.recv().await.map_err(|e| violation(&e.to_string()))?;
        Drill::at(self.drill.as_ref(), "propose");
        let ready = match self.prepare(run, &propose, asker, &link.connection).await {
            Ok(Prepared::Ready(ready)) => ready,
            Ok(Prepared::Waiting(waits)) => {
                // Whoever left before hearing it asks again.
                let _ = link.control.send(&Reply::from(waits)).await;
                link.control.close().await;
                return Ok(());
            }
            // It has heard nothing, and is not charged.
            Ok(Prepared::Left) => return Ok(()),
            Err(refusal) => {
                self.unstarted.forget(&propose.plan);
                return self.turn_away(link, refusal).await;
            }
        };
        let said = Box::new(ready.said.clone());
        link.control.send(&Reply::Ready(said)).await.map_err(|e| violation(&e.to_string()))?;
        Drill::at(self.drill.as_ref(), "ready");
        let started = tokio::select! {
            started = link.control.recv_within::<Start>(START_PATIENCE) => Ok(started.ok()),
            _ = self.closing.aborted() => Err(closing::stopping()),
        };
        let start = match started {
            Ok(Some(start)) => start,
            Ok(None) => return self.not_started(propose, asker, ready.data).await,
            Err(stopping) => {
                self.not_started(propose, asker, ready.data).await?;
                return self.turn_away(link, stopping).await;
            }
        };
        Drill::at(self.drill.as_ref(), "start");
        Drill::stays(self.drill.as_ref(), self.name()).await;
        let ready = Arc::new(*ready);
        let entered = match self.enter(run, asker, &propose, &start, &ready).await {
            Ok(entered) => entered,
            Err(refusal) => return self.turn_away(link, refusal).await,
        };
        link.control.send(&Reply::Entered).await.map_err(|e| violation(&e.to_string()))?;
        self.compute(run, link, &propose, &start, &ready, entered).await
    }

    /// Nobody began the run: another site refused, the analyst gave up, or the node ends. Nothing was sent; but that this site
    /// would have answered is a word about it, and words are counted.
    async fn not_started(&self, propose: Propose, asker: &Asker, data: Option<[u8; 32]>) -> Result<(), NodeError> {
        if !self.unstarted.is_new(&propose.plan, data) {
            return Ok(());
        }
        let (asker, gate) = (asker.clone(), self.gate.clone());
        let charged = tokio::task::spawn_blocking(move || gate.refused(&propose, &asker, "NOT_STARTED")).await;
        charged.unwrap_or_else(|_| Err(ended_unexpectedly()))
    }

    pub(super) async fn turn_away(&self, mut link: Link, why: NodeError) -> Result<(), NodeError> {
        refuse(&mut link.control, &why).await;
        link.control.close().await;
        Err(why)
    }

    /// Verifies everybody's words and begins the release: durable before anything leaves.
    async fn enter(
        self: &Arc<Self>,
        run: RunId,
        asker: &Asker,
        propose: &Propose,
        start: &Start,
        ready: &Arc<Ready>,
    ) -> Result<Entered, NodeError> {
        if start.words.get(self.me.index()) != Some(&ready.said) {
            return Err(violation("the analyst did not bring this site's word"));
        }
        let (site, asker, propose, start) = (self.clone(), asker.clone(), propose.clone(), start.clone());
        let ready = ready.clone();
        let work = move || {
            let entered = site.enter_blocking(run, &asker, &propose, &start, &ready);
            if let Err(refusal) = &entered {
                site.gate.refused(&propose, &asker, &refusal.code)?;
            }
            entered
        };
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(ended_unexpectedly()))
    }

    fn enter_blocking(
        &self,
        run: RunId,
        asker: &Asker,
        propose: &Propose,
        start: &Start,
        ready: &Ready,
    ) -> Result<Entered, NodeError> {
        let plan = &ready.compiled.joint;
        // What is decided here stands until the release has begun, also what other studies' releases have to do with it.
        let _alone = self.beginning.lock().unwrap_or_else(PoisonError::into_inner);
        let (gate, state, now) = (&self.gate, &self.gate.state, now_ms());
        let names = self.network.site.iter().map(|site| site.name.clone()).collect::<Vec<_>>();
        let asked = Asked { plan: propose.plan, study: propose.study, network: gate.network, analyst: asker.pin };
        meeting::verify(&self.network, (&run, start), &asked, &state.seen(&names)?, now as i64)?;
        state.holds(meeting::remembered(&start.words, self.me.index()))?;
        // All of what it decided by may have changed since this site said that it was ready, also the day.
        gate.stands(propose, plan, asker, &start.words[self.me.index()].word.approval, now)?;
        let earlier = if plan.is_ledgered() { meeting::earlier(&start.words, &propose.plan)? } else { Vec::new() };
        let release = Release {
            id: run,
            study: propose.study,
            plan: propose.plan,
            disclosure: plan.disclosure_digest(),
            text: propose.sql.clone(),
            sites: names.iter().map(|name| name.0.clone()).collect(),
            analyst: asker.name.clone(),
            at_ms: now,
            snapshot: ready.snapshot,
            unhidden: plan.min_patients == 1 && plan.noise.is_none() && plan.intersection.is_none(),
            progress: Progress::Begun,
        };
        state.catch_up(&start.words, &release)?;
        // Taken before the look at the releases: one that begins between the two, or after them, makes `begin` refuse.
        let after = state.standing(&propose.study)?;
        state.not_moved(&propose.study, &self.data.study(), (&start.words, self.me.index()))?;
        let mut noted = state.noted(&earlier)?;
        noted.iter_mut().for_each(|sets| sets.renew(&self.data, self.name()));
        let entered = Entered { earlier, noted };
        // Before anything is charged: what cannot be compared would never come to an answer.
        self.comparable(&ready.compiled, &ready.partials, &entered.met(&self.data))?;
        let others = names.iter().zip(&start.words).enumerate().filter(|(at, _)| *at != self.me.index());
        let heads = others.map(|(_, (name, said))| SiteHead { site: name.0.clone(), head: said.word.head }).collect();
        let policy = &gate.policy.policy;
        let terms = Terms {
            after,
            releases: policy.releases.map(Into::into),
            refusals: Some(gate.policy.refusals()),
            privacy: gate.spend(plan)?,
        };
        let approval = &start.words[self.me.index()].word.approval;
        state.begin_under(approval, &release, &terms, heads)?;
        Ok(entered)
    }

    async fn compute(
        &self,
        run: RunId,
        analyst: Link,
        propose: &Propose,
        start: &Start,
        ready: &Ready,
        entered: Entered,
    ) -> Result<(), NodeError> {
        let Ready { compiled, partials, common, .. } = ready;
        let place = self.place(&analyst, run, propose, start)?;
        let asker = analyst.connection.clone();
        let links = self.links(run, analyst, place).await?;
        Drill::at(self.drill.as_ref(), "connected");
        let wrap = |transport| Drill::wrap(self.drill.as_ref(), transport);
        let (session, mut controls) = connect::session(place, links, wrap, self.closing.aborted())
            .await
            .map_err(|error| blame::with_names(error, &self.network))?;
        let counters = session.counters();
        let _going = self.runs.begin(run, counters.clone());
        let mut engine = Additive::new(session, execute::statement(&compiled.joint));
        let state = self.gate.state.clone();
        let keep = move |of: Extent, sets: Sets| -> BoxFuture<'static, Result<(), NodeError>> {
            let state = state.clone();
            Box::pin(async move { blocking(&state, move |state| state.note(&run, of, &sets)).await })
        };
        let met = entered.met(&self.data);
        let running = async {
            match &compiled.joint.intersection {
                None => execute::run(&mut engine, compiled, Some(partials), met, &keep).await,
                Some(found) => {
                    let deliver = async |positions| self.deliver(run, found, common.as_ref(), positions).await;
                    let plan = (&compiled.joint, found);
                    let note = async move |sets: Sets| keep(Extent::All, sets).await;
                    execute::intersection::run(&mut engine, plan, common.as_ref(), note, deliver).await
                }
            }
        };
        let (result, told) = tokio::select! {
            result = running => (result, None),
            why = self.closing.aborted() => (Err(stopped(&why)), Some(why)),
        };
        self.meter.sent(counters.latest().bytes);
        let session = engine.into_session();
        let ended = match result {
            Ok(ended) => {
                let control = place.parties.analyst().and_then(|a| controls.remove(&a));
                self.close(run, (control, &asker), session, ended, compiled, place.deadline).await?
            }
            Err(error) => {
                session.abort(&error);
                let steps = steps(&session.stats());
                blocking(&self.gate.state, move |state| state.broke_off(&run, None, now_ms(), steps)).await?;
                Err(error)
            }
        };
        ended.map_err(|error| told.unwrap_or_else(|| blame::explain(&error, &self.network)))
    }

    /// Keeps the patients in common where only this site reads them, as it writes them itself.
    async fn deliver(
        &self,
        run: RunId,
        found: &Intersection,
        own: Option<&OwnSet>,
        positions: Vec<usize>,
    ) -> Result<(), NodeError> {
        let spellings = own.map(|own| &own.spellings[..]).unwrap_or_default();
        let mut patients: Vec<&String> = positions.iter().filter_map(|at| spellings.get(*at)).flatten().collect();
        patients.sort();
        let heading = found.relations[0].columns.first().map(String::as_str).unwrap_or_default();
        let lines = [heading].into_iter().chain(patients.into_iter().map(String::as_str)).map(csv_line);
        let text = Zeroizing::new(lines.collect::<String>());
        let path = blocking(&self.gate.state, move |state| state.keep_matched(&run, &text)).await?;
        let (count, sender) = (positions.len(), &found.sender);
        let text = format!("{count} patients in common with {sender}: {}", path.display());
        log::say(self.name(), "intersection", &text);
        Ok(())
    }

    /// Tells the analyst what the run took, keeps how it ended, and leaves.
    async fn close(
        &self,
        run: RunId,
        (control, asker): (Option<ControlStream>, &Connection),
        session: Session,
        ended: Ended,
        compiled: &Compiled,
        patience: Duration,
    ) -> Result<mpc_core::Result<()>, NodeError> {
        let stats = session.stats();
        // A refusal changes what later releases are compared with: it is kept before anybody can ask again.
        match &ended {
            Ended::Released(_) => {}
            Ended::TooClose { after_keys: false } => {
                let sent = steps(&stats);
                blocking(&self.gate.state, move |state| state.refuse(&run, TOO_CLOSE, now_ms(), sent)).await?;
            }
            Ended::TooClose { after_keys: true } => self.refuse_after_keys(run, TOO_CLOSE, steps(&stats)).await?,
            Ended::TooWide(why) => self.refuse_after_keys(run, &why.code, steps(&stats)).await?,
        }
        let report = Report { bytes: stats.bytes(), rounds: stats.rounds };
        if let Some(mut control) = control
            && control.send(&report).await.is_ok()
        {
            control.close().await;
        }
        if let Ended::Released(_) = ended {
            let sent = steps(&stats);
            blocking(&self.gate.state, move |state| state.finish(&run, None, sent)).await?;
        }
        let outcome = self.outcome(asker, patience).await;
        let left = session.finish().await;
        outcome?;
        if let Ended::Released(Some(totals)) = ended {
            self.show(compiled, &totals, &stats).await?;
        }
        Ok(left)
    }

    /// The group keys of such a question are out: it stays a release, as one that broke off.
    async fn refuse_after_keys(&self, run: RunId, code: &str, sent: Vec<Step>) -> Result<(), NodeError> {
        let code = code.to_owned();
        blocking(&self.gate.state, move |state| state.broke_off(&run, Some(&code), now_ms(), sent)).await
    }

    /// Waits until the analyst closes the run, and says why if it closes it for a reason.
    async fn outcome(&self, asker: &Connection, patience: Duration) -> Result<(), NodeError> {
        // An analyst that neither closes nor speaks has what it needs from this site; the site leaves.
        let _ = timeout(patience + OUTCOME_MARGIN, asker.closed()).await;
        quic::abort_notice(asker).map_or(Ok(()), |notice| {
            let stopped = NodeError::new("SESSION_STOPPED", format!("stopped by the analyst: {}", notice.reason));
            Err(blame::with_names(stopped, &self.network))
        })
    }

    /// Prints an answer that was opened to everyone.
    async fn show(&self, compiled: &Compiled, totals: &[Opened], stats: &Stats) -> Result<(), NodeError> {
        let Finished { table, suppressed, disclosures } = finish::answer(compiled, totals).await?;
        let parties = self.network.site.len();
        let cost = Cost { rounds: u64::from(stats.rounds), bytes: stats.bytes(), wall_ms: 0, parties };
        let answer = Answer { table, suppressed, disclosures, cost };
        match log::form() {
            LogForm::Text => eprintln!("[{}] received an answer:\n{}", self.name(), answer.render(Format::Table)),
            // A log that machines collect is no place for figures.
            LogForm::Json => log::say(self.name(), "answer", "an answer that every site sees came out"),
        }
        Ok(())
    }

    fn place(&self, analyst: &Link, run: RunId, propose: &Propose, start: &Start) -> Result<Place, NodeError> {
        let sites = self.network.site.len();
        let asker = quic::peer_pin(&analyst.connection).ok_or_else(|| violation("a connection without a key"))?;
        let mut keys: Vec<Pin> = self.network.site.iter().flat_map(|s| s.pins.iter().copied()).chain([asker]).collect();
        let id = session_id(&mut keys, &run, propose, start);
        let parties = Parties::sites_only(sites).map(Parties::with_analyst);
        let parties = parties.ok_or_else(|| NodeError::new("BAD_NUMBER_OF_SITES", "too many sites"))?;
        let asked = Duration::from_millis(propose.step_timeout_ms).max(MIN_STEP_TIMEOUT);
        let deadline = self.deadline.min(asked);
        Ok(Place { me: self.me, parties, id, deadline })
    }

    /// Dials the sites before this one and waits for those after it; where one cannot be dialled, it is the other way round.
    /// Whoever is connected already hears why if that fails, or if the node ends first.
    async fn links(&self, run: RunId, analyst: Link, place: Place) -> Result<HashMap<PartyId, Link>, NodeError> {
        let mut links: HashMap<_, _> = place.parties.analyst().map(|party| (party, analyst)).into_iter().collect();
        let linked = tokio::select! {
            linked = self.link_all(run, place, &mut links) => linked,
            why = self.closing.aborted() => Err(why),
        };
        match linked {
            Ok(()) => Ok(links),
            Err(error) => {
                connect::abort_all(&links, &error);
                Err(error)
            }
        }
    }

    async fn link_all(&self, run: RunId, place: Place, links: &mut HashMap<PartyId, Link>) -> Result<(), NodeError> {
        let by = Instant::now() + place.deadline;
        let dialled = |peer: &PartyId| self.network.dials(self.me.index(), peer.index());
        for peer in place.parties.sites().filter(|p| *p != self.me && dialled(p)) {
            let left = by.saturating_duration_since(Instant::now());
            let (idle, at) = (connect::idle(self.deadline), peer.index());
            let connection = connect::dial(&self.endpoint, &self.gate.identity, &self.network, at, left, idle).await?;
            self.meter.met(at);
            let link = connect::join(connection, run, place.deadline).await.map_err(|e| violation(&e.to_string()))?;
            links.insert(peer, link);
        }
        for peer in place.parties.sites().filter(|p| *p != self.me && !dialled(p)) {
            let link = timeout_at(by, self.joins.wait((run, peer))).await.ok().flatten();
            let silent = || {
                let message = format!(
                    "{} did not connect within {} ms",
                    self.network.site[peer.index()].name,
                    place.deadline.as_millis()
                );
                NodeError::new("SITE_SILENT", message)
            };
            links.insert(peer, link.ok_or_else(silent)?);
        }
        Ok(())
    }
}

/// A file of one column, RFC 4180.
fn csv_line(text: &str) -> String {
    let plain = !text.contains(['"', ',', '\r', '\n']);
    if plain { format!("{text}\n") } else { format!("\"{}\"\n", text.replace('"', "\"\"")) }
}

/// What left this site, step by step, for the log.
fn steps(stats: &Stats) -> Vec<Step> {
    let step = |(path, step): (&mpc_core::step::StepPath, &mpc_core::stats::StepStats)| Step {
        step: path.as_str().to_owned(),
        messages: step.messages,
        bytes: step.bytes,
    };
    stats.steps.iter().map(step).collect()
}

/// The ledger's writes wait for the disk; the network does not wait for them.
async fn blocking<R: Send + 'static>(
    state: &Arc<State>,
    work: impl FnOnce(&State) -> Result<R, NodeError> + Send + 'static,
) -> Result<R, NodeError> {
    let state = state.clone();
    tokio::task::spawn_blocking(move || work(&state)).await.unwrap_or_else(|_| Err(ended_unexpectedly()))
}

fn ended_unexpectedly() -> NodeError {
    NodeError::new("INTERNAL", "work on the ledger ended unexpectedly")
}

/// Its patients are too near to an earlier release's.
pub(crate) const TOO_CLOSE: &str = "RELEASE_TOO_CLOSE";
