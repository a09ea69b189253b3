//! From a question to a site's word: the plan, the decision about it, the local work.

use std::sync::Arc;

use mpc_core::random::os_bytes;
use query_planner::explain::explain_with;
use query_planner::{Catalog, Compiled, Options};

use super::Site;
use crate::agree::{Propose, Reply, RunId, Signed, Word};
use crate::execute::{self, Met, Unfit};
use crate::fault::{NodeError, printable};
use crate::govern::approval::{Approval, agree};
use crate::govern::gate::{Asker, Gate, Verdict};
use crate::local::common::{OwnSet, own_set_blocking};
use crate::local::{NetworkFacts, Partials, noise, partials_blocking};
use crate::log::{self, Entry, Level};
use crate::source::left::ANALYST_LEFT;
use crate::source::{BoundData, Left, Moment};
use crate::state::inbox::{self, INBOX_FULL, Waiting};
use crate::state::now_ms;
use query_planner::catalog::SiteName;
use quinn::Connection;

/// What a site has made of a question.
pub(super) enum Prepared {
    /// Everything that it does alone is done.
    Ready(Box<Ready>),
    /// Somebody at the site must decide about this plan.
    Waiting(Waits),
    /// Whoever asked left before it was done.
    Left,
}

/// For whom a plan waits.
#[derive(PartialEq, Eq)]
pub(super) struct Waits {
    /// How stewards name it.
    plan: String,
    /// How many have to say yes.
    needs: u32,
    /// Who has, if the site's policy lets it tell.
    consents: Vec<String>,
}

impl From<Waits> for Reply {
    fn from(Waits { plan, needs, consents }: Waits) -> Self {
        Reply::Waiting { plan, needs, consents }
    }
}

/// A site that is ready to compute.
pub(super) struct Ready {
    pub compiled: Compiled,
    pub partials: Vec<Partials>,
    /// What the site enters into an intersection, if it has a part in one.
    pub common: Option<OwnSet>,
    pub said: Signed,
    /// Digest of the data that it was made of, for the ledger.
    pub snapshot: [u8; 32],
    /// The same where it is known: a database's rows are not looked at for every question.
    pub data: Option<[u8; 32]>,
}

impl Site {
    /// Derives the plan from the question, compares digests, decides, runs the local stage. No share exists yet; a failure of
    /// the local stage is a fact about this site's rows, so the analyst hears that it failed and nothing else. A database's work is given up
    /// when the analyst leaves.
    pub(super) async fn prepare(
        self: &Arc<Self>,
        run: RunId,
        propose: &Propose,
        asker: &Asker,
        analyst: &Connection,
    ) -> Result<Prepared, NodeError> {
        let (leave, left) = Left::heard();
        let work = self.or_charged(propose, asker, move |site, propose, asker| {
            match site.prepare_blocking(run, propose, asker, left) {
                Err(given_up) if given_up.code == ANALYST_LEFT => Ok(Prepared::Left),
                prepared => prepared,
            }
        });
        let mut work = std::pin::pin!(work);
        tokio::select! {
            prepared = &mut work => prepared,
            _ = analyst.closed() => {
                leave.say();
                work.await
            }
        }
    }

    /// Decides about a question and does nothing for it: `None` where this site consents. A plan that waits goes into the inbox. Nothing
    /// here looks at a row, so that asking again is not charged; a refusal is.
    pub(super) async fn consulted(
        self: &Arc<Self>,
        propose: &Propose,
        asker: &Asker,
    ) -> Result<Option<Waits>, NodeError> {
        self.or_charged(propose, asker, |site, propose, asker| match site.decide(propose, asker)? {
            (_, Verdict::Approved(_)) => Ok(None),
            (compiled, Verdict::Waiting) => site.wait(propose, &compiled, asker).map(Some),
        })
        .await
    }

    /// Work that blocks, whose refusal is logged and charged, unless it is for want of room alone.
    async fn or_charged<R: Send + 'static>(
        self: &Arc<Self>,
        propose: &Propose,
        asker: &Asker,
        work: impl FnOnce(&Self, &Propose, &Asker) -> Result<R, NodeError> + Send + 'static,
    ) -> Result<R, NodeError> {
        let (site, propose, asker) = (self.clone(), propose.clone(), asker.clone());
        let work = move || {
            let done = work(&site, &propose, &asker);
            if let Some(refusal) = done.as_ref().err().filter(|refusal| refusal.code != INBOX_FULL) {
                site.gate.refused(&propose, &asker, &refusal.code)?;
            }
            done
        };
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or_else(|_| Err(NodeError::new("INTERNAL", "the local work ended unexpectedly")))
    }

    /// The plan that this site derives itself, and what it decides about it.
    fn decide(&self, propose: &Propose, asker: &Asker) -> Result<(Compiled, Verdict), NodeError> {
        let gate = &self.gate;
        if propose.network != gate.network {
            return Err(NodeError::new("NETWORK_DIFFERS", "the analyst's network file is not this site's")
                .hint("compare the digests that `consilium check` prints, and exchange the newer file"));
        }
        agree_on_linkage(propose, &self.catalog)?;
        let options = Options { now_ms: propose.now_ms, audience: propose.audience, noise: propose.noise };
        let compiled = query_planner::plan(&propose.sql, &self.catalog, &options)?;
        if compiled.joint.digest() != propose.plan {
            return Err(NodeError::new("PLAN_DIFFERS", "this site derives another plan from the question")
                .hint("the versions of the programs differ"));
        }
        let verdict = gate.decide(propose, &compiled.joint, asker, now_ms())?;
        Ok((compiled, verdict))
    }

    fn prepare_blocking(
        &self,
        run: RunId,
        propose: &Propose,
        asker: &Asker,
        left: Left,
    ) -> Result<Prepared, NodeError> {
        let (gate, name) = (&self.gate, self.name());
        let (compiled, approval) = match self.decide(propose, asker)? {
            (compiled, Verdict::Approved(approval)) => (compiled, *approval),
            (compiled, Verdict::Waiting) => return self.wait(propose, &compiled, asker).map(Prepared::Waiting),
        };
        execute::fits_a_ledger(&compiled)?;
        let network = NetworkFacts::of(&compiled.joint);
        // A digest is asked for where earlier releases are compared, and where the analyst answers a repeated question from what
        // came out before: elsewhere nothing depends on it.
        let moment = self.data.at_one_moment_for(&compiled.local, name, compiled.joint.opens_needed(), left);
        let Moment { data, snapshot } = moment.map_err(|error| failed_at_home(name, &error))?;
        let of_data = snapshot.or_else(|| data.database().is_none().then_some(self.snapshot));
        let snapshot = of_data.unwrap_or(self.snapshot);
        let stages = compiled.local.iter().zip(&compiled.joint.sums);
        let partials = stages.map(|(stage, sum)| partials_blocking(stage, sum, name, &data, network));
        let mut partials = partials.collect::<Result<Vec<_>, _>>().map_err(|error| failed_at_home(name, &error))?;
        // Long before the session: how long a draw takes depends on its value.
        noise::add(&compiled.joint, &mut partials, &mut noise::source()?)?;
        log_excluded(name, &partials);
        self.comparable(&compiled, &partials, &Met { earlier: &[], noted: &[], domain: self.data.study() })?;
        let common = self.common(&compiled, &data)?;
        // The database's transaction ends here.
        drop(data);
        let said = Signed::new(self.word(run, propose, approval, &snapshot)?, &gate.identity);
        Ok(Prepared::Ready(Box::new(Ready { compiled, partials, common, said, snapshot, data: of_data })))
    }

    /// Can this question's patients be compared with those of earlier releases, and with later ones?
    ///
    /// # Errors
    /// `LEDGER_FULL`, which follows from sizes; `LOCAL_FAILED` for what says something about this site's patients.
    pub(super) fn comparable(
        &self,
        compiled: &Compiled,
        partials: &[Partials],
        met: &Met<'_>,
    ) -> Result<(), NodeError> {
        if !compiled.joint.is_ledgered() {
            return Ok(());
        }
        execute::comparable(compiled, (self.me.index(), partials), met).map_err(|unfit| match unfit {
            Unfit::Sizes(why) => {
                NodeError::new("LEDGER_FULL", format!("this question cannot be compared with earlier ones: {why}"))
                    .hint("ask for fewer groups; a study that has come to its end is followed by another one")
            }
            Unfit::Patients(why) => failed_at_home(self.name(), &NodeError::new("TOO_MANY_PATIENTS", why)),
        })
    }

    /// This site's part of an intersection, within what its policy lets it enter. A refusal says nothing of how many there are.
    fn common(&self, compiled: &Compiled, data: &BoundData) -> Result<Option<OwnSet>, NodeError> {
        let (name, found) = (self.name(), compiled.joint.intersection.as_ref());
        let Some((found, part)) = found.and_then(|found| Some((found, found.part(name)?))) else { return Ok(None) };
        let fragments = compiled.local.first().and_then(|stage| stage.relations.get(part));
        let fragment = fragments.and_then(|all| all.iter().find(|(site, _)| site.same(name)));
        let (_, fragment) =
            fragment.ok_or_else(|| NodeError::new("PLAN_INVALID", "the plan has no work of this site"))?;
        let set = own_set_blocking(fragment, found.sizes[part], name, data);
        let set = set.map_err(|error| failed_at_home(name, &error))?;
        if set.excluded > 0 {
            log::say(name, "linkage", &format!("{} patients of this question have no valid linkage key", set.excluded));
        }
        let policy = &self.gate.policy.policy;
        let (count, bounds) = (set.keys.len() as u64, policy.matching);
        let outside = if bounds.min_patients.is_some_and(|least| count < least) {
            ("SET_TOO_SMALL", "fewer patients than its policy lets it enter (rule: matching.min_patients)")
        } else if bounds.max_patients.is_some_and(|most| count > most) {
            ("SET_TOO_LARGE", "more patients than its policy lets it enter (rule: matching.max_patients)")
        } else {
            return Ok(Some(set));
        };
        Err(match policy.tell_reasons {
            true => NodeError::new(outside.0, outside.1),
            false => NodeError::new("POLICY_REFUSES", "the policy of this site does not allow this question"),
        })
    }

    /// Puts the plan where stewards find it, unless it is there.
    fn wait(&self, propose: &Propose, compiled: &Compiled, asker: &Asker) -> Result<Waits, NodeError> {
        let (plan, policy) = (&compiled.joint, &self.gate.policy.policy);
        let named = Gate::named(&propose.plan);
        let needs = if policy.two_persons { 2 } else { 1 };
        let case = inbox::case(&propose.plan, &propose.study, &asker.pin.to_string());
        if let Some(waiting) = self.gate.state.waits(&case)? {
            let consents = waiting.consents.into_iter().map(|consent| printable(&consent.by));
            let consents = if policy.tell_reasons { consents.collect() } else { Vec::new() };
            return Ok(Waits { plan: named, needs, consents });
        }
        self.gate.state.wait(&Waiting {
            plan: propose.plan,
            study: propose.study,
            disclosure: plan.disclosure_digest(),
            study_name: self.gate.study(&propose.study)?.name.clone(),
            analyst: printable(&asker.name),
            analyst_pin: asker.pin.to_string(),
            query: propose.sql.clone(),
            explained: explain_with(compiled, &execute::forecast(plan)) + &self.network.seen_through(asker.pin),
            since_ms: now_ms(),
            now_ms: propose.now_ms,
            audience: propose.audience,
            noise: propose.noise,
            consents: Vec::new(),
        })?;
        self.beside.inbox.send_replace(());
        Ok(Waits { plan: named, needs, consents: Vec::new() })
    }

    fn word(&self, run: RunId, propose: &Propose, approval: Approval, snapshot: &[u8; 32]) -> Result<Word, NodeError> {
        let (gate, state) = (&self.gate, &self.gate.state);
        let nonce =
            os_bytes().map_err(|_| NodeError::new("NO_RANDOMNESS", "the operating system gave no randomness"))?;
        let sites: Vec<SiteName> = self.network.site.iter().map(|site| site.name.clone()).collect();
        Ok(Word {
            run,
            nonce,
            key: gate.identity.public_key().0,
            agreement: agree(&gate.identity, &gate.network, &propose.study),
            approval,
            past: state.past(&propose.study, snapshot)?,
            head: state.head()?,
            seen: state.seen(&sites)?,
        })
    }
}

/// Sites with different linkage files would make different keys of the same patient, and find nobody.
fn agree_on_linkage(propose: &Propose, catalog: &Catalog) -> Result<(), NodeError> {
    let own = catalog.linkage.as_ref().map(|linkage| linkage.digest.as_str());
    if own == propose.linkage.as_deref() {
        return Ok(());
    }
    let word = |digest: Option<&str>| digest.map_or("none".to_owned(), printable);
    let message = format!(
        "the analyst's linkage file is not this site's: {} and {}",
        word(propose.linkage.as_deref()),
        word(own)
    );
    Err(NodeError::new("LINKAGE_DIFFERS", message)
        .hint("compare what `consilium linkage --file` prints, and exchange the newer file"))
}

/// Who cannot be matched is this site's own affair.
fn log_excluded(site: &SiteName, partials: &[Partials]) {
    for patients in partials.iter().filter_map(|partials| partials.patients.as_ref()) {
        if patients.excluded > 0 {
            log::say(
                site,
                "linkage",
                &format!("{} patients of this question have no valid linkage key", patients.excluded),
            );
        }
    }
}

/// Keeps the reason in this site's own log and tells the others only that its work failed: a division by zero or a
/// value out of bounds says something about a row, and a question can be built to make it say what the analyst wants to
/// know.
fn failed_at_home(site: &SiteName, error: &NodeError) -> NodeError {
    if error.code == ANALYST_LEFT {
        return error.clone();
    }
    let text = format!("its own work failed: {error}");
    log::write(
        site,
        Entry { level: Level::Warn, event: "local_work", code: Some(&error.code), job: None, text: &text },
    );
    NodeError::new("LOCAL_FAILED", "its own work on its rows failed; the reason is in its log and stays there").hint(
        "arithmetic that can fail on a row (division, casts, large squares) wants a CASE around it; a patient may have no more events at a \
         site than max_events",
    )
}
