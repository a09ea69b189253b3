//! Decisions and the moments at which they stop to hold.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use mpc_core::identity::Identity;
use query_planner::catalog::SiteName;
use query_planner::site_policy::SitePolicy;
use query_planner::{Audience, Catalog, Settings};

use super::*;
use crate::govern::approval::{Approval, Asked, By};
use crate::govern::gate::Posted;
use crate::govern::study::Study;
use crate::network;
use crate::state::inbox::{Decision, Waiting};
use crate::state::ledger::{Progress, Release, Terms};
use crate::state::{State, now_ms};

const PLAN: [u8; 32] = [0xab; 32];
const DAY_MS: i64 = 86_400_000;

struct Site {
    folder: PathBuf,
    gate: Gate,
    catalog: Catalog,
    asked: Asked,
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A site at which one plan waits.
fn site(policy: SitePolicy) -> Site {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("consilium-steward-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let folder = std::env::temp_dir().join(name);
    fs::create_dir_all(&folder).unwrap();
    let (identity, analyst) = (Identity::generate().unwrap(), Identity::generate().unwrap().pin());
    let state = Arc::new(State::open(&folder.join("state"), &folder.join("state.key"), &identity).unwrap());
    let sites = ["a", "b"].map(|name| SiteName(name.into()));
    let catalog =
        network::catalog(&sites.clone().map(|name| (name, Default::default())), &Settings::default(), None).unwrap();
    let study = Study::sandbox("ana", sites.clone().into(), vec![]);
    let asked = Asked { plan: PLAN, study: study.digest(), network: [3; 32], analyst };
    let [name, _] = sites;
    let policy = Posted::of(policy);
    let gate = Gate { name, identity: Arc::new(identity), network: [3; 32], studies: vec![study], policy, state };
    let site = Site { folder, gate, catalog, asked };
    site.wait();
    site
}

impl Site {
    fn wait(&self) {
        let waiting = Waiting {
            plan: PLAN,
            study: self.asked.study,
            disclosure: [4; 32],
            study_name: "sandbox".into(),
            analyst: "ana".into(),
            analyst_pin: self.asked.analyst.to_string(),
            query: "SELECT 1".into(),
            explained: "a plan".into(),
            since_ms: now_ms(),
            now_ms: 0,
            audience: Audience::Analyst,
            noise: None,
            consents: vec![],
        };
        self.gate.state.wait(&waiting).unwrap();
    }

    /// How the stewards name what waits.
    fn case(&self) -> [u8; 32] {
        self.asked.case()
    }

    fn order(&self, order: Order) -> Result<Reply, NodeError> {
        perform(&Desk { gate: &self.gate, catalog: &self.catalog, data: None, pins: &[] }, order)
    }

    fn approve(&self, days: u32, proof: Option<Proof>) -> Result<Reply, NodeError> {
        self.order(Order::Approve { plan: self.case(), days, note: "ada".into(), proof })
    }

    fn withdraw(&self) -> Result<Reply, NodeError> {
        self.order(Order::Withdraw { plan: "abab".into(), note: "ada".into() })
    }

    fn by_hand(&self, after_ms: i64) -> Result<Option<Approval>, NodeError> {
        self.gate.by_hand(&self.asked, now_ms() as i64 + after_ms)
    }

    fn begin(&self, id: u8, approval: &Approval) -> Result<(), NodeError> {
        let Asked { plan, study, .. } = self.asked;
        let release = Release {
            id: [id; 16],
            study,
            plan,
            disclosure: [4; 32],
            text: "SELECT 1".into(),
            sites: vec!["a".into(), "b".into()],
            analyst: "ana".into(),
            at_ms: now_ms(),
            snapshot: [5; 32],
            unhidden: false,
            progress: Progress::Begun,
        };
        let after = self.gate.state.standing(&study)?;
        let terms = Terms { after, releases: None, refusals: None, privacy: None };
        self.gate.state.begin_under(approval, &release, &terms, vec![])
    }
}

fn code<T: std::fmt::Debug>(result: Result<T, NodeError>) -> String {
    result.unwrap_err().code.into_owned()
}

fn persons() -> (SitePolicy, [Identity; 2]) {
    let keys = [(); 2].map(|()| Identity::generate().unwrap());
    let stewards = ["ada", "bob"].map(String::from).into_iter().zip(keys.iter().map(|key| key.pin().to_string()));
    (SitePolicy { two_persons: true, stewards: stewards.collect(), ..SitePolicy::default() }, keys)
}

#[test]
fn an_approval_by_hand_lasts_its_days_and_then_the_plan_waits_again() {
    let site = site(SitePolicy::default());
    assert_eq!(site.by_hand(0), Ok(None));
    assert_eq!(code(site.approve(0, None)), "BAD_DAYS");
    assert_eq!(code(site.approve(367, None)), "BAD_DAYS");
    site.approve(2, None).unwrap();
    let approval = site.by_hand(2 * DAY_MS - 60_000).unwrap().expect("it lasts two days");
    assert_eq!(approval.terms.by, By::Hand(vec!["ada".into()]));
    assert_eq!(site.by_hand(2 * DAY_MS + 60_000), Ok(None), "it has expired");
    // Every other site refuses it then too.
    let (key, late) = (site.gate.identity.public_key(), now_ms() as i64 + 2 * DAY_MS + 60_000);
    assert_eq!(code(approval.covers(&site.asked, &key, late)), "NOT_APPROVED");
    // Asked again, the plan waits, and a new approval takes the place of the old one.
    site.wait();
    site.approve(5, None).unwrap();
    assert!(site.by_hand(4 * DAY_MS).unwrap().is_some());
}

#[test]
fn an_approval_that_was_withdrawn_after_the_site_was_ready_begins_nothing() {
    let site = site(SitePolicy::default());
    site.approve(1, None).unwrap();
    let ready = site.by_hand(0).unwrap().unwrap();
    assert_eq!(site.withdraw(), Ok(Reply::Withdrawn { plan: site.case(), begun: false }));
    assert_eq!(code(site.begin(1, &ready)), "NOT_APPROVED");
    assert!(site.gate.state.outlines(&site.asked.study).unwrap().is_empty());
    assert_eq!(code(site.withdraw()), "NO_SUCH_PLAN");
    // Another approval of the same plan is not the one that the others were shown.
    site.wait();
    site.approve(2, None).unwrap();
    assert_eq!(code(site.begin(1, &ready)), "NOT_APPROVED");
    let ready = site.by_hand(0).unwrap().unwrap();
    assert_eq!(site.begin(1, &ready), Ok(()));
    assert_eq!(site.withdraw(), Ok(Reply::Withdrawn { plan: site.case(), begun: true }));
    // Rejected meanwhile, nothing runs, by rule neither.
    site.wait();
    site.order(Order::Reject { plan: "ABAB".into(), reason: "no".into(), note: "ada".into() }).unwrap();
    let rule = Approval::sign(site.gate.terms(&site.asked, By::Rule(1), now_ms() as i64, DAY_MS), &site.gate.identity);
    assert_eq!(code(site.begin(2, &rule)), "NOT_APPROVED");
    assert_eq!(code(site.by_hand(0)), "REJECTED");
}

#[test]
fn an_approval_under_another_policy_network_or_for_another_analyst_is_none() {
    let mut site = site(SitePolicy::default());
    site.approve(1, None).unwrap();
    assert!(site.by_hand(0).unwrap().is_some());
    site.asked.network = [4; 32];
    assert_eq!(site.by_hand(0), Ok(None));
    site.asked.network = [3; 32];
    let analyst = std::mem::replace(&mut site.asked.analyst, Pin([9; 32]));
    assert_eq!(site.by_hand(0), Ok(None));
    site.asked.analyst = analyst;
    assert!(site.by_hand(0).unwrap().is_some());
    site.gate.policy.policy.min_patients = Some(12);
    assert_eq!(site.by_hand(0), Ok(None));
}

#[test]
fn two_stewards_sign_each_for_this_plan_this_site_these_days_and_now() {
    let (policy, [ada, bob]) = persons();
    let site = site(policy);
    let own = site.gate.identity.pin();
    let proof = |key: &Identity, plan: [u8; 32], at: Pin, days| Some(Proof::sign(key, &plan, at, days, now_ms()));
    assert_eq!(code(site.approve(1, None)), "STEWARD_KEY_NEEDED");
    assert_eq!(code(site.approve(1, proof(&ada, [1; 32], own, 1))), "NOT_A_STEWARD");
    assert_eq!(code(site.approve(1, proof(&ada, site.case(), Pin([1; 32]), 1))), "NOT_A_STEWARD");
    assert_eq!(code(site.approve(1, proof(&ada, site.case(), own, 2))), "NOT_A_STEWARD");
    assert_eq!(code(site.approve(1, proof(&Identity::generate().unwrap(), site.case(), own, 1))), "NOT_A_STEWARD");
    let old = Proof::sign(&ada, &site.case(), own, 1, now_ms() - 3_600_000);
    assert_eq!(code(site.approve(1, Some(old))), "SIGNATURE_TOO_OLD");
    let first = proof(&ada, site.case(), own, 9);
    let one = Reply::OneOfTwo { plan: site.case(), by: "ada".into() };
    assert_eq!(site.approve(9, first.clone()), Ok(one.clone()));
    assert_eq!(site.approve(9, first.clone()), Ok(one), "the same steward twice is one");
    assert_eq!(site.by_hand(0), Ok(None));
    assert!(matches!(site.approve(1, proof(&bob, site.case(), own, 1)), Ok(Reply::Approved { .. })));
    let approval = site.by_hand(0).unwrap().unwrap();
    assert_eq!(approval.terms.by, By::Hand(vec!["ada".into(), "bob".into()]));
    assert_eq!(site.by_hand(2 * DAY_MS), Ok(None), "the shorter of the two times counts");
    // What was signed before a withdrawal is not used after it.
    site.withdraw().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(5));
    site.wait();
    assert_eq!(code(site.approve(9, first)), "SIGNATURE_TOO_OLD");
}

#[test]
fn a_consent_under_another_policy_does_not_count_as_one_of_two() {
    let (policy, [ada, bob]) = persons();
    let mut site = site(policy);
    let own = site.gate.identity.pin();
    let case = site.case();
    let proof = |key: &Identity| Some(Proof::sign(key, &case, own, 1, now_ms()));
    site.approve(1, proof(&ada)).unwrap();
    site.gate.policy.policy.min_patients = Some(12);
    assert_eq!(site.approve(1, proof(&bob)), Ok(Reply::OneOfTwo { plan: site.case(), by: "bob".into() }));
    assert!(matches!(site.approve(1, proof(&ada)), Ok(Reply::Approved { .. })));
}

#[test]
fn a_plan_is_decided_once() {
    let site = site(SitePolicy::default());
    let reject = || site.order(Order::Reject { plan: "abab".into(), reason: "no".into(), note: "ada".into() });
    assert_eq!(reject(), Ok(Reply::Rejected { plan: site.case() }));
    assert_eq!(code(reject()), "NO_SUCH_PLAN");
    assert_eq!(code(site.approve(1, None)), "NO_SUCH_PLAN");
    let rule = Approval::sign(site.gate.terms(&site.asked, By::Rule(1), 0, 1), &site.gate.identity);
    assert_eq!(code(site.gate.state.decide(&site.case(), &Decision::Approved(Box::new(rule)))), "NO_SUCH_PLAN");
    let names = ["aba", "", "ffff", "abab0"].map(|name| site.order(Order::Inbox { plan: Some(name.into()), from: 0 }));
    assert!(names.into_iter().all(|found| code(found) == "NO_SUCH_PLAN"));
}

#[test]
fn two_analysts_who_ask_the_same_are_decided_about_each_by_itself() {
    let mut site = site(SitePolicy::default());
    let first = site.asked;
    site.asked.analyst = Pin([7; 32]);
    site.wait();
    let second = site.asked;
    let Ok(Reply::Inbox { plans, .. }) = site.order(Order::Inbox { plan: None, from: 0 }) else { panic!() };
    assert_eq!(plans.len(), 2, "each waits");
    assert!(plans.iter().all(|entry| entry.plan[..8] == PLAN[..8]), "by the digits that the analysts know");
    let named = |name: String| site.order(Order::Inbox { plan: Some(name), from: 0 });
    assert_eq!(code(named(crate::state::hex::text(&PLAN[..8]))), "NO_SUCH_PLAN", "it names two");
    assert!(named(crate::state::hex::text(&second.case()[..12])).is_ok());
    // A yes to one is none to the other, and a no neither.
    let decided = |asked: &Asked| site.gate.by_hand(asked, now_ms() as i64);
    site.approve(1, None).unwrap();
    assert_eq!(decided(&first), Ok(None));
    let plan = crate::state::hex::text(&first.case()[..12]);
    site.order(Order::Reject { plan, reason: "no".into(), note: "ada".into() }).unwrap();
    assert_eq!(code(decided(&first)), "REJECTED");
    let approval = decided(&second).unwrap().expect("it stands");
    assert_eq!(approval.terms.analyst, second.analyst);
    assert_eq!(site.begin(1, &approval), Ok(()));
}

#[test]
fn one_analyst_does_not_fill_the_inbox_for_the_others() {
    let site = site(SitePolicy::default());
    let waiting = |analyst: &str, number: u8| {
        let waiting = site.gate.state.waits(&site.case()).unwrap().unwrap();
        let plan = [number; 32];
        site.gate.state.wait(&Waiting { plan, analyst: analyst.into(), ..waiting })
    };
    let full = (0..=255).find(|number| waiting("ana", *number).is_err());
    assert_eq!(full, Some(63), "one waited before");
    assert_eq!(code(waiting("ana", 200)), "INBOX_FULL");
    assert_eq!(waiting("bob", 200), Ok(()));
}

#[test]
fn an_export_in_parts_is_the_whole_log_with_its_seal() {
    let site = site(SitePolicy::default());
    let pins = [site.gate.identity.pin()];
    for most in [1, 100, 1 << 20] {
        let (mut export, mut next) = (Vec::new(), Some(0));
        while let Some(from) = next {
            let (part, then) = site.gate.state.export_part(from, most).unwrap();
            (export, next) = ([export, part].concat(), then);
        }
        let summary = crate::state::audit::verify_export(export.as_slice(), &pins).unwrap();
        assert_eq!(summary.head, site.gate.state.head().unwrap());
    }
    assert_eq!(site.gate.state.check_log(&pins).unwrap().head, site.gate.state.head().unwrap());
    assert_eq!(code(site.gate.state.check_log(&[])), "AUDIT_BROKEN");
}
