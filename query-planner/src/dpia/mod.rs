//! An annex for a data protection impact assessment, as Markdown: what one question takes from each site, in words and in
//! bytes, what it reveals and why, what it does not, and on which assumptions.

mod chinese;
mod english;

use crate::catalog::Link;
use crate::cost::{Cost, Work, cost, work};
use crate::disclosure::{Disclosure, Language};
use crate::intersection::Method;
use crate::plan::JointPlan;

/// What a study says of itself. What is missing is left to be filled in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Purpose {
    /// What it is for.
    pub purpose: Option<String>,
    /// On which legal basis.
    pub legal_basis: Option<String>,
    /// The ethics committee's number.
    pub ethics: Option<String>,
    /// Who may ask.
    pub analysts: Vec<String>,
    /// When it ends.
    pub ends: Option<String>,
}

/// Rounds and bytes of the preparation of work on shares, where they are known before the run: each site's.
pub type Prepared = Option<(u64, u64)>;

/// The annex. `prepared` is what [`crate::cost()`] does not know.
pub fn annex(plan: &JointPlan, purpose: Option<&Purpose>, prepared: Prepared, language: Language) -> String {
    let none = Purpose::default();
    let annex = Annex { plan, purpose: purpose.unwrap_or(&none), cost: cost(plan), work: work(plan), prepared };
    match language {
        Language::English => english::write(&annex),
        Language::Chinese => chinese::write(&annex),
    }
}

/// What a plan does with shared values, in words; nothing for plans of sums alone.
pub fn work_in_words(plan: &JointPlan, language: Language) -> Vec<String> {
    let word = |work: &Work| match language {
        Language::English => work.to_string(),
        Language::Chinese => chinese::work(work),
    };
    work(plan).iter().map(word).collect()
}

/// What both languages tell.
struct Annex<'p> {
    plan: &'p JointPlan,
    purpose: &'p Purpose,
    cost: Cost,
    work: Vec<Work>,
    prepared: Prepared,
}

impl Annex<'_> {
    fn matches(&self) -> bool {
        self.plan.sums.iter().any(|sum| sum.matching.is_some())
    }

    /// Is every figure of several sites one of three or more, so that no site can subtract its own part?
    fn keeps_parts(&self) -> bool {
        self.plan.sums.iter().all(|sum| sum.contributors.len() != 2)
    }

    /// Are codes assumed to be hard to decode?
    fn assumes_lpn(&self) -> bool {
        let oprf = self.plan.intersection.as_ref().is_some_and(|found| found.method == Method::Oprf);
        oprf || self.matches() || !self.plan.is_linear() && self.plan.link == Link::Narrow
    }

    fn disclosed(&self, opened: bool) -> impl Iterator<Item = &Disclosure> {
        self.plan.disclosures.iter().filter(move |disclosure| disclosure.why.is_opened() == opened)
    }

    fn digest(&self) -> [String; 2] {
        [self.plan.digest(), self.plan.disclosure_digest()]
            .map(|digest| digest.iter().map(|b| format!("{b:02x}")).collect())
    }
}

/// A Markdown table's cell: what would end it is escaped.
fn cell(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace('\n', " ")
}

/// Text as code, whatever it holds.
fn fenced(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}sql\n{text}\n{fence}")
}
