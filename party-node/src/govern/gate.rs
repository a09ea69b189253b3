//! What a site checks of a question before it does anything for it: study, its own policy, approval, limits.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mpc_core::identity::{Identity, Pin};
use query_planner::catalog::SiteName;
use query_planner::grants;
use query_planner::site_policy::SitePolicy;
use query_planner::{Audience, Catalog, JointPlan};

use sha2::{Digest, Sha256};

use super::approval::{Approval, Asked, By, Terms, short};
use super::study::{Study, Wanted};
use crate::agree::Propose;
use crate::config;
use crate::fault::{NodeError, printable};
use crate::log;
use crate::source::{BoundData, OptOut};
use crate::state::audit;
use crate::state::inbox::Decision;
use crate::state::ledger::Who;
use crate::state::limits::{Limit, Part, Spend};
use crate::state::{State, now_ms};

/// How a site decides.
pub struct Gate {
    /// The site.
    pub name: SiteName,
    /// Its key.
    pub identity: Arc<Identity>,
    /// Digest of the network file.
    pub network: [u8; 32],
    /// The studies it takes part in.
    pub studies: Vec<Study>,
    /// Its policy.
    pub policy: Posted,
    /// What it keeps.
    pub state: Arc<State>,
}

/// A policy as it was when the node started, and where it stands.
pub struct Posted {
    /// What it says.
    pub policy: SitePolicy,
    /// Its file; none for a site of a sandbox without one.
    pub file: Option<PathBuf>,
    /// The files as they were.
    read: Read,
}

/// What files held when the node started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Read {
    /// The policy's text.
    text: String,
    /// SHA-256 of the opt-out list.
    opt_out: Option<[u8; 32]>,
}

/// Who asks.
#[derive(Debug, Clone)]
pub struct Asker {
    /// The name in the network file.
    pub name: String,
    /// The key.
    pub pin: Pin,
    /// The site whose node asks for it and reads the answers, if one does.
    pub at: Option<SiteName>,
}

/// What becomes of a question.
pub enum Verdict {
    /// The site consents.
    Approved(Box<Approval>),
    /// Somebody at the site must decide.
    Waiting,
}

impl Posted {
    /// Reads a policy file.
    ///
    /// # Errors
    /// `BAD_POLICY`, `NO_SUCH_FILE`.
    pub fn read(file: PathBuf) -> Result<Self, NodeError> {
        let text = config::read(&file)?;
        let policy = parse(&file, &text)?;
        if policy.privacy.as_ref().is_some_and(|privacy| !privacy.is_whole()) {
            let needed = "epsilon and most_per_release, and delta_digits where Gaussian noise is allowed";
            let message = format!("{}: [privacy] has {needed}", file.display());
            return Err(NodeError::new("BAD_POLICY", message));
        }
        let mut posted = Self { policy, file: Some(file), read: Read { text, opt_out: None } };
        posted.read.opt_out = posted.listed();
        Ok(posted)
    }

    /// A policy that stands in no file.
    pub fn of(policy: SitePolicy) -> Self {
        Self { policy, file: None, read: Read::default() }
    }

    /// The policy file of a folder of data, if it has one: a site of a sandbox.
    ///
    /// # Errors
    /// `BAD_POLICY`.
    pub fn beside(folder: &Path) -> Result<Option<Self>, NodeError> {
        let file = folder.join(POLICY);
        if file.exists() { Self::read(file).map(Some) } else { Ok(None) }
    }

    /// Most refusals in a period. A refusal is an answer too, so there is always a limit.
    pub fn refusals(&self) -> Limit {
        let default = if self.file.is_some() { REFUSALS } else { Limit { most: u32::MAX, total: u32::MAX, days: 1 } };
        self.policy.refusals.map_or(default, Into::into)
    }

    /// The list of patients who opted out, beside the policy file.
    pub fn opt_out(&self) -> Option<PathBuf> {
        let list = self.policy.opt_out.as_ref()?;
        Some(self.file.as_deref().and_then(Path::parent).unwrap_or(Path::new(".")).join(&list.file))
    }

    /// Nothing is allowed: a site without a policy file.
    pub fn closed() -> Self {
        Self::of(SitePolicy::default())
    }

    /// Everything is allowed: a site of a sandbox.
    pub fn open() -> Self {
        Self::of(SitePolicy::open())
    }

    /// The policy must be the one that the others planned with, and the opt-out list the one that the data was read with.
    ///
    /// # Errors
    /// `POLICY_CHANGED`, `OPT_OUT_CHANGED`; `BAD_POLICY` and the like when the file cannot be read any more.
    pub fn unchanged(&self) -> Result<(), NodeError> {
        let Some(file) = &self.file else { return Ok(()) };
        let text = config::read(file)?;
        // Another layout of the same policy is the same.
        if text != self.read.text && parse(file, &text)? != self.policy {
            let message = "this site changed its policy since its node started";
            return Err(NodeError::new("POLICY_CHANGED", message)
                .hint("exchange the site's public file and start the node again"));
        }
        if self.listed() != self.read.opt_out {
            let message = "this site's opt-out list changed since its node started";
            return Err(NodeError::new("OPT_OUT_CHANGED", message).hint("start the node again, which reads it"));
        }
        Ok(())
    }

    /// SHA-256 of the opt-out list; none where there is no list, or none that can be read.
    fn listed(&self) -> Option<[u8; 32]> {
        let mut hash = Sha256::new();
        io::copy(&mut File::open(self.opt_out()?).ok()?, &mut Hashing(&mut hash)).ok()?;
        Some(hash.finalize().into())
    }
}

/// Bytes that go into a hash, so that no copy of a list is left in memory.
struct Hashing<'a>(&'a mut Sha256);

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn parse(file: &Path, text: &str) -> Result<SitePolicy, NodeError> {
    SitePolicy::from_toml(text).map_err(|error| config::in_file(file, error.into()))
}

impl Gate {
    /// The study a question belongs to.
    ///
    /// # Errors
    /// `STUDY_UNKNOWN`.
    pub fn study(&self, digest: &[u8; 32]) -> Result<&Study, NodeError> {
        let study = self.studies.iter().find(|study| study.digest() == *digest);
        study.ok_or_else(|| {
            NodeError::new("STUDY_UNKNOWN", "this site takes part in no such study")
                .hint("compare the study files; a changed file is another study")
        })
    }

    /// Decides about a plan that the site has derived itself, at this time in milliseconds since 1970-01-01. Refusals are logged and charged by [`Gate::refused`].
    ///
    /// # Errors
    /// `STUDY_UNKNOWN`, `STUDY_ENDED`, `NOT_IN_STUDY`, `POLICY_CHANGED`, `OPT_OUT_CHANGED`, what the policy forbids
    /// ([`grants::check`]), `NODE_SEES_ANSWER`, `OTHER_LEDGER`, `TOO_MANY_RELEASES`, `TOO_MANY_REFUSALS`, `BUDGET_EXHAUSTED`, `REJECTED`.
    pub fn decide(&self, propose: &Propose, plan: &JointPlan, asker: &Asker, now: u64) -> Result<Verdict, NodeError> {
        let policy = &self.policy.policy;
        let who = self.charged(propose, asker);
        self.state.within(&who, policy.releases.map(Into::into), Some(self.policy.refusals()), now)?;
        let tables: Vec<String> = plan.tables.iter().map(|read| read.table.clone()).collect();
        let wanted = Wanted { analyst: &asker.name, tables: &tables, sites: &plan.sites, now_ms: now as i64 };
        let study = self.study(&propose.study)?;
        study.admits(wanted)?;
        self.policy.unchanged()?;
        grants::check(plan, &self.name, policy, Some(&asker.name))?;
        self.for_whoever_reads(plan, asker)?;
        self.has_one_ledger(study)?;
        if let Some(spend) = self.spend(plan)? {
            spend.after(self.state.spent(&propose.study)?)?;
        }
        let asked = Asked { plan: plan.digest(), study: propose.study, network: self.network, analyst: asker.pin };
        self.consent(plan, &asked, &asker.name, now as i64)
    }

    /// The node that asks for an analyst reads the answer and knows its own rows: less these, a figure that is large enough for the analyst
    /// may be of fewer patients than the least number. For everyone this is judged, for the analyst alone it is not.
    fn for_whoever_reads(&self, plan: &JointPlan, asker: &Asker) -> Result<(), NodeError> {
        let is_judged = !plan.is_ledgered() || plan.audience == Audience::Everyone;
        let Some(at) = asker.at.as_ref().filter(|at| !at.same(&self.name)) else { return Ok(()) };
        if is_judged || self.policy.policy.allow_all {
            return Ok(());
        }
        let message = format!(
            "the node of {at} reads the answer, and small cells are not hidden from a site that knows its own rows"
        );
        Err(NodeError::new("NODE_SEES_ANSWER", message)
            .hint("ask with --to everyone (in a database program, SET consilium.audience = everyone), for whom a figure is judged without each site's own rows; or under a key that lies at no site"))
    }

    /// Answers of two studies are not compared. A site whose rule is `one_ledger` therefore answers in one alone of those that
    /// share a table; one whose file is gone shares all.
    fn has_one_ledger(&self, study: &Study) -> Result<(), NodeError> {
        let policy = &self.policy.policy;
        if !policy.one_ledger {
            return Ok(());
        }
        let (digest, releases) = (study.digest(), self.state.releases(None)?);
        let others = releases.iter().filter(|release| release.progress.counts() && release.study != digest);
        let shares = |other: &[u8; 32]| self.study(other).map_or(true, |other| other.shares_a_table_with(study));
        if !others.map(|release| &release.study).any(shares) {
            return Ok(());
        }
        let message = "it has answered in another study over the same tables (rule: one_ledger)";
        Err(match policy.tell_reasons {
            true => NodeError::new("OTHER_LEDGER", message).hint("ask within that study"),
            false => NodeError::new("POLICY_REFUSES", "the policy of this site does not allow this question"),
        })
    }

    /// The ε and δ that a plan takes here, of a study and of all; none where the policy keeps no budget.
    ///
    /// # Errors
    /// `NOISE_NEEDED` for a plan without noise, `BAD_POLICY` for a budget that cannot be read.
    pub fn spend(&self, plan: &JointPlan) -> Result<Option<Spend>, NodeError> {
        let Some(privacy) = &self.policy.policy.privacy else { return Ok(None) };
        let Some(noise) = &plan.noise else {
            return Err(NodeError::new("NOISE_NEEDED", "this site answers with noise only"));
        };
        let Some([limit, _]) = privacy.limits() else {
            return Err(NodeError::new("BAD_POLICY", "[privacy] has no budget"));
        };
        let (in_all, delta_in_all) = (privacy.limit_in_all(), privacy.delta_limit_in_all());
        Ok(Some(Spend {
            epsilon: Part { takes: noise.epsilon.0, limit: limit.0, in_all: in_all.map(|limit| limit.0) },
            delta: Part {
                takes: noise.delta().0,
                limit: privacy.delta_limit().0,
                in_all: delta_in_all.map(|limit| limit.0),
            },
        }))
    }

    /// Approval by hand if there is one, else by rule.
    fn consent(&self, plan: &JointPlan, asked: &Asked, analyst: &str, now: i64) -> Result<Verdict, NodeError> {
        if let Some(approval) = self.by_hand(asked, now)? {
            return Ok(Verdict::Approved(Box::new(approval)));
        }
        let policy = &self.policy.policy;
        // A site that allows everything, as one of a sandbox does, has nobody to ask.
        let open = self.policy.file.is_none() && policy.allow_all;
        let rule = policy.approved_by(&plan.classes, analyst).map(|rule| rule as u32 + 1);
        let Some(rule) = rule.or(open.then_some(0)) else { return Ok(Verdict::Waiting) };
        let terms = self.terms(asked, By::Rule(rule), now, RULE_MS);
        Ok(Verdict::Approved(Box::new(Approval::sign(terms, &self.identity))))
    }

    /// What stewards have decided. An approval under another policy, or one that has expired, is none: somebody decides again.
    ///
    /// # Errors
    /// `REJECTED`.
    pub fn by_hand(&self, asked: &Asked, now: i64) -> Result<Option<Approval>, NodeError> {
        match self.state.decision(&asked.case())? {
            Some(Decision::Rejected { reason, .. }) => {
                Err(NodeError::new("REJECTED", format!("a steward rejected this plan: {}", printable(&reason))))
            }
            Some(Decision::Approved(approval)) => {
                let covers = approval.covers(asked, &self.identity.public_key(), now).is_ok();
                Ok((covers && approval.terms.policy == self.policy.policy.digest()).then_some(*approval))
            }
            None => Ok(None),
        }
    }

    /// Terms of a consent that begins now.
    pub fn terms(&self, asked: &Asked, by: By, now: i64, lasts_ms: i64) -> Terms {
        let Asked { plan, study, network, analyst } = *asked;
        let policy = self.policy.policy.digest();
        Terms { plan, study, network, policy, analyst, by, from_ms: now, until_ms: now.saturating_add(lasts_ms) }
    }

    /// Does the site still consent as it did when it gave its word?
    ///
    /// # Errors
    /// As [`Gate::decide`]; `NOT_APPROVED` when the approval was withdrawn.
    pub fn stands(
        &self,
        propose: &Propose,
        plan: &JointPlan,
        asker: &Asker,
        given: &Approval,
        now: u64,
    ) -> Result<(), NodeError> {
        match (self.decide(propose, plan, asker, now)?, &given.terms.by) {
            (Verdict::Approved(_), By::Rule(_)) => Ok(()),
            (Verdict::Approved(now), By::Hand(_)) if *now == *given => Ok(()),
            _ => Err(NodeError::new("NOT_APPROVED", "the approval of this plan was withdrawn")),
        }
    }

    /// Logs a refusal and charges it.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub fn refused(&self, propose: &Propose, asker: &Asker, code: &str) -> Result<(), NodeError> {
        let (who, now) = (self.charged(propose, asker), now_ms());
        // Whoever is over the limit would otherwise keep itself there, and use up everybody's.
        if self.state.within(&who, None, Some(self.policy.refusals()), now).is_err() {
            return Ok(());
        }
        let Who { analyst, study } = who;
        let asked = audit::Asked { study, plan: propose.plan, disclosure: [0; 32], analyst };
        self.state.deny(asked, code, now)
    }

    /// Whom a question is charged to. Which study it belongs to is the asker's word: all that this site does not know are one.
    fn charged(&self, propose: &Propose, asker: &Asker) -> Who {
        let study = if self.study(&propose.study).is_ok() { propose.study } else { [0; 32] };
        Who::new(&printable(&asker.name), study)
    }

    /// How stewards name a plan.
    pub fn named(plan: &[u8; 32]) -> String {
        short(plan)
    }
}

/// The policy file of a site of a sandbox.
pub const POLICY: &str = "policy.toml";

/// Where a policy says nothing.
const REFUSALS: Limit = Limit { most: 50, total: Limit::total(50), days: 1 };

/// A consent by rule is made for the run that follows.
const RULE_MS: i64 = 15 * 60 * 1000;

/// The data without the patients who opted out. How many those are is this site's own affair.
///
/// # Errors
/// What is wrong with the list.
pub fn left_out(data: BoundData, posted: &Posted, catalog: &Catalog, site: &SiteName) -> Result<BoundData, NodeError> {
    let Some(file) = posted.opt_out() else { return Ok(data) };
    let (data, left_out) = data.without(OptOut::read(&file, &catalog.patient_key)?, catalog)?;
    log::say(site, "opt_out", &format!("opt-out list: {left_out}"));
    Ok(data)
}
