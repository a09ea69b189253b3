//! From a question to a site's word: the plan, the decision about it, the local work.

use std::sync::Arc;

use mpc_core::random::os_bytes;
use query_planner::explain::explain_with;
use query_planner::{Catalog, Compiled, Options};

use super::{Site, log};
use crate::agree::{JobId, Propose, Signed, Word};
use crate::execute;
use crate::fault::{NodeError, printable};
use crate::govern::approval::{Approval, agree};
use crate::govern::gate::{Asker, Gate, Verdict};
use crate::local::common::{OwnSet, own_set_blocking};
use crate::local::{NetworkFacts, Partials, noise, partials_blocking};
use crate::state::inbox::Waiting;
use crate::state::now_ms;
use query_planner::catalog::SiteName;

/// What a site has made of a question.
pub(super) enum Prepared {
    /// Everything that it does alone is done.
    Ready(Box<Ready>),
    /// Somebody at the site must decide about this plan.
    Waiting {
        /// How stewards name it.
        plan: String,
    },
}

/// A site that is ready to compute.
pub(super) struct Ready {
    pub compiled: Compiled,
    pub partials: Vec<Partials>,
    /// What the site enters into an intersection, if it has a part in one.
    pub common: Option<OwnSet>,
    pub said: Signed,
}

impl Site {
    /// Derives the plan from the question, compares digests, decides, runs the local stage. No share exists yet; a failure of
    /// the local stage is a fact about this site's rows, so the analyst hears that it failed and nothing else.
    pub(super) async fn prepare(
        self: &Arc<Self>,
        job: JobId,
        propose: &Propose,
        asker: &Asker,
    ) -> Result<Prepared, NodeError> {
        let (site, propose, asker) = (self.clone(), propose.clone(), asker.clone());
        let work = move || {
            let prepared = site.prepare_blocking(job, &propose, &asker);
            if let Err(refusal) = &prepared {
                site.gate.refused(&propose, &asker, &refusal.code)?;
            }
            prepared
        };
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or_else(|_| Err(NodeError::new("INTERNAL", "the local work ended unexpectedly")))
    }

    fn prepare_blocking(&self, job: JobId, propose: &Propose, asker: &Asker) -> Result<Prepared, NodeError> {
        let (gate, name) = (&self.gate, self.name());
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
        let approval = match gate.decide(propose, &compiled.joint, asker, now_ms())? {
            Verdict::Approved(approval) => *approval,
            Verdict::Waiting => return self.wait(propose, &compiled, asker),
        };
        execute::fits_a_ledger(&compiled)?;
        let network = NetworkFacts::of(&compiled.joint);
        let stages = compiled.local.iter().zip(&compiled.joint.sums);
        let partials = stages.map(|(stage, sum)| partials_blocking(stage, sum, name, &self.data, network));
        let mut partials = partials.collect::<Result<Vec<_>, _>>().map_err(|error| failed_at_home(name, &error))?;
        // Long before the session: how long a draw takes depends on its value.
        noise::add(&compiled.joint, &mut partials, &mut noise::source()?)?;
        log_excluded(name, &partials);
        let common = self.common(&compiled)?;
        let said = Signed::new(self.word(job, propose, approval)?, &gate.identity);
        Ok(Prepared::Ready(Box::new(Ready { compiled, partials, common, said })))
    }

    /// This site's part of an intersection, within what its policy lets it enter. A refusal says nothing of how many there are.
    fn common(&self, compiled: &Compiled) -> Result<Option<OwnSet>, NodeError> {
        let (name, found) = (self.name(), compiled.joint.intersection.as_ref());
        let Some((found, part)) = found.and_then(|found| Some((found, found.part(name)?))) else { return Ok(None) };
        let fragments = compiled.local.first().and_then(|stage| stage.relations.get(part));
        let fragment = fragments.and_then(|all| all.iter().find(|(site, _)| site.same(name)));
        let (_, fragment) =
            fragment.ok_or_else(|| NodeError::new("PLAN_INVALID", "the plan has no work of this site"))?;
        let set = own_set_blocking(fragment, found.sizes[part], name, &self.data);
        let set = set.map_err(|error| failed_at_home(name, &error))?;
        if set.excluded > 0 {
            log(name, &format!("{} patients of this question have no valid linkage key", set.excluded));
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

    /// Puts the plan where stewards find it.
    fn wait(&self, propose: &Propose, compiled: &Compiled, asker: &Asker) -> Result<Prepared, NodeError> {
        let plan = &compiled.joint;
        self.gate.state.wait(&Waiting {
            plan: propose.plan,
            study: propose.study,
            disclosure: plan.disclosure_digest(),
            study_name: self.gate.study(&propose.study)?.name.clone(),
            analyst: printable(&asker.name),
            analyst_pin: asker.pin.to_string(),
            query: propose.sql.clone(),
            explained: explain_with(compiled, &execute::forecast(plan)),
            since_ms: now_ms(),
            now_ms: propose.now_ms,
            audience: propose.audience,
            noise: propose.noise,
            consents: Vec::new(),
        })?;
        Ok(Prepared::Waiting { plan: Gate::named(&propose.plan) })
    }

    fn word(&self, job: JobId, propose: &Propose, approval: Approval) -> Result<Word, NodeError> {
        let (gate, state) = (&self.gate, &self.gate.state);
        let nonce =
            os_bytes().map_err(|_| NodeError::new("NO_RANDOMNESS", "the operating system gave no randomness"))?;
        let sites: Vec<SiteName> = self.network.site.iter().map(|site| site.name.clone()).collect();
        Ok(Word {
            job,
            nonce,
            key: gate.identity.public_key().0,
            agreement: agree(&gate.identity, &gate.network, &propose.study),
            approval,
            past: state.past(&propose.study, &self.snapshot)?,
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
            log(site, &format!("{} patients of this question have no valid linkage key", patients.excluded));
        }
    }
}

/// Keeps the reason in this site's own log and tells the others only that its work failed: a division by zero or a
/// value out of bounds says something about a row, and a question can be built to make it say what the analyst wants to
/// know.
fn failed_at_home(site: &SiteName, error: &NodeError) -> NodeError {
    log(site, &format!("its own work failed: {error}"));
    NodeError::new("LOCAL_FAILED", "its own work on its rows failed; the reason is in its log and stays there").hint(
        "arithmetic that can fail on a row (division, casts, large squares) wants a CASE around it; a patient may have no more events at a \
         site than max_events",
    )
}
