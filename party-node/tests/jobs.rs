//! Jobs of accounts at a node, over real QUIC, with three sites in this process.

mod common;
#[path = "jobs/places.rs"]
mod places;
#[path = "jobs/turns.rs"]
mod turns;

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::Scratch;
use common::sites::{self, DEADLINE, SITES, Sites, any_port, entry};
use mpc_core::handshake::ControlStream;
use mpc_core::identity::Identity;
use party_node::agree::{Greeting, PROTOCOL_VERSION, Propose, Reply as Told};
use party_node::analyst::{Consent, Question};
use party_node::config::{Account, JobSettings};
use party_node::connect;
use party_node::govern::steward::{Order, Proof, Refusal, Reply};
use party_node::jobs::Jobs;
use party_node::jobs::control::Submission;
use party_node::jobs::job::{At, Job, Run, State};
use party_node::network::Network;
use party_node::site::Home;
use party_node::state::beside::Write;
use party_node::state::inbox::Waiting;
use party_node::state::{Table, now_ms};
use query_planner::{Audience, Options};

const BY_RULE: &str = "allow_all = true\n[[approve]]\nclasses = ['count', 'sum', 'table', 'matching']\n";
const BY_HAND: &str = "allow_all = true\ntell_reasons = true\n";
/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// Three sites; the first has the accounts.
struct World {
    sites: Sites,
    jobs: Arc<Jobs>,
    settings: JobSettings,
    folder: Scratch,
}

impl World {
    fn new(label: &str, accounts: usize, policies: [&str; 3], settings: (&str, JobSettings)) -> Self {
        let (folder, (network, settings)) = (Scratch::new(label), settings);
        let names: Vec<String> = (0..accounts).map(|n| format!("analyst{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let sites = Sites::start(&folder, network, policies, &names);
        let jobs = Jobs::open(sites.served[0].home(), sites.accounts.clone(), settings, DEADLINE).unwrap();
        sites.served[0].serve_jobs(jobs.clone());
        Self { sites, jobs, settings, folder }
    }

    async fn submit(&self, account: usize, sql: &str) -> Job {
        self.jobs.submit(&self.sites.accounts[account].name, submission(sql)).await.unwrap()
    }

    /// The job once it is as wanted.
    async fn until(&self, job: &Job, wanted: impl Fn(&Job) -> bool) -> Job {
        self.until_in(&self.jobs, job, wanted).await
    }

    async fn until_in(&self, jobs: &Arc<Jobs>, job: &Job, wanted: impl Fn(&Job) -> bool) -> Job {
        let name = name(job);
        let look = async {
            let mut after = 0;
            loop {
                let now = jobs.follow(&job.account, &name, after).await.unwrap();
                if wanted(&now) {
                    return now;
                }
                assert!(!now.state.is_over(), "it ended: {}", serde_json::to_string(&now).unwrap());
                after = now.revision;
            }
        };
        tokio::time::timeout(PATIENCE, look).await.expect("it comes to that")
    }

    async fn done(&self, job: &Job) -> Job {
        self.until(job, |job| job.state == State::Done).await
    }

    /// The answer's rows.
    async fn rows(&self, job: &Job) -> serde_json::Value {
        let page = self.jobs.page(&job.account, &name(job), 0).await.unwrap();
        assert_eq!(page.next, None);
        serde_json::to_value(page).unwrap()["rows"].take()
    }

    /// A steward's order at a site, over its node's control.
    async fn order(&self, site: usize, order: Order) -> Reply {
        let (endpoint, key) = (any_port(), &self.sites.keys[site]);
        let dialled = connect::dial(&endpoint, key, &self.sites.network, site, DEADLINE, DEADLINE);
        let mut control = ControlStream::open(&dialled.await.unwrap(), DEADLINE).await.unwrap();
        control.send(&Greeting::Steward { version: PROTOCOL_VERSION }).await.unwrap();
        control.send(&order).await.unwrap();
        control.recv::<Result<Reply, Refusal>>().await.unwrap().unwrap()
    }

    /// The first account's question as it is proposed to sites.
    fn proposal(&self, sql: &str) -> Propose {
        let options = Options { now_ms: 0, audience: Audience::Analyst, noise: None };
        let (analyst, question) = (self.sites.analyst(), Question { sql, options });
        let plan = analyst.plan(question).unwrap().joint.digest();
        analyst.proposal(question, plan)
    }

    /// Jobs of the same accounts at the same site, opened anew.
    fn again(&self) -> Arc<Jobs> {
        self.opened(self.settings)
    }

    fn opened(&self, settings: JobSettings) -> Arc<Jobs> {
        Jobs::open(self.sites.served[0].home(), self.sites.accounts.clone(), settings, DEADLINE).unwrap()
    }

    /// Refusals that sites have charged, but for those of a question that another site was not ready for: an analyst who could not reach
    /// that one in time leaves the others, and it is tried again.
    fn charged(&self) -> usize {
        let log = |site: &str| fs::read_to_string(self.folder.at(&format!("{site}-state/audit.log"))).unwrap();
        let is_charge = |line: &&str| line.contains("\"denied\"") && !line.contains("NOT_STARTED");
        SITES.iter().map(|site| log(site).lines().filter(is_charge).count()).sum()
    }

    async fn comes_to(&self, what: &str, mut is: impl FnMut() -> bool) {
        let began = Instant::now();
        while !is() {
            assert!(began.elapsed() < PATIENCE, "it never comes to this: {what}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// How often the word is in a site's log.
    fn logged(&self, site: usize, word: &str) -> usize {
        let log = fs::read_to_string(self.folder.at(&format!("{}-state/audit.log", SITES[site]))).unwrap();
        log.matches(word).count()
    }
}

fn name(job: &Job) -> String {
    job.id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How stewards name what waits, among others of the same plan.
fn plan_name(waiting: &Waiting) -> String {
    waiting.case().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn submission(sql: &str) -> Submission {
    let (sql, audience) = (sql.to_owned(), Audience::Analyst);
    Submission { sql, study: None, audience, noise: None, now_ms: None, plan: None }
}

fn code(job: &Job) -> &str {
    job.refusal.as_ref().map_or("", |refusal| &refusal.code)
}

/// How many rows lie below, and their sum.
fn below(limit: i64) -> (String, serde_json::Value) {
    let sql = format!("SELECT COUNT(*) AS n, SUM(x) AS s FROM t WHERE x < {limit}");
    (sql, serde_json::json!([[limit.to_string(), (0..limit).sum::<i64>().to_string()]]))
}

fn settings(memory_mb: u32, running: u32) -> JobSettings {
    JobSettings { memory_mb, running, ..JobSettings::default() }
}

#[tokio::test]
async fn fifty_questions_of_ten_analysts_end_right_and_no_analyst_waits_for_all_of_another() {
    // Room for two at a time, whatever `running` says.
    let world = World::new("fifty", 10, [BY_RULE; 3], ("min_sites = 3", settings(64, 8)));
    let seen = turns::watched(&world.jobs);
    let mut jobs = Vec::new();
    for account in 0..10 {
        for number in 0..5 {
            let (sql, expected) = below(1 + account as i64 * 5 + number);
            jobs.push((account, world.submit(account, &sql).await, expected));
        }
    }
    for (_, job, expected) in &jobs {
        let done = world.done(job).await;
        assert_eq!(world.rows(&done).await, *expected, "{}", job.sql);
        assert_eq!(done.rows, Some(1));
        assert!(done.sites.iter().all(|site| site.state == At::Done) && done.cost.is_some());
    }
    turns::judge(&seen.await.unwrap());
    assert_eq!(world.charged(), 0, "nobody is charged");
}

#[tokio::test]
async fn a_job_waits_for_a_steward_and_runs_when_there_is_a_yes_without_being_charged() {
    let world = World::new("waits", 2, [BY_RULE, BY_HAND, BY_RULE], ("min_sites = 3", settings(1024, 4)));
    let (sql, expected) = below(30);
    let job = world.submit(0, &sql).await;
    let waiting = world.until(&job, |job| job.sites[1].state == At::Waiting).await;
    let waits = waiting.sites[1].waits_for.clone().unwrap();
    assert_eq!((waits.needs, waits.consents.len()), (1, 0));
    world.until(&job, |job| [0, 2].iter().all(|site| job.sites[*site].state == At::Approved)).await;
    let asked_again = world.sites.analyst().consult(1, &world.proposal(&sql), Duration::ZERO).await;
    assert!(matches!(asked_again, Ok(Consent::Awaited(_))), "{asked_again:?}");
    // Time for the site to hold its reply.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let Reply::Inbox { plans, .. } = world.order(1, Order::Inbox { plan: None, from: 0 }).await else { panic!() };
    assert_eq!(plans.len(), 1, "it waits once");
    assert!(plans[0].plan.iter().map(|b| format!("{b:02x}")).collect::<String>().starts_with(&waits.plan));
    let Reply::Text { text, .. } =
        world.order(1, Order::Plan { plan: waits.plan.clone(), chinese: false, from: 0 }).await
    else {
        panic!()
    };
    assert!(text.contains("analyst0 asks through the node of a, which sees the answer"), "{text}");
    let began = Instant::now();
    world.order(1, Order::Approve { plan: plans[0].plan, days: 1, note: "ada".into(), proof: None }).await;
    world.until(&job, |job| job.sites[1].state != At::Waiting).await;
    // Whoever only asks again would hear of it when the thirty seconds are over that a site holds its reply.
    assert!(began.elapsed() < Duration::from_secs(20), "it heard of the decision late: {:?}", began.elapsed());
    let done = world.done(&job).await;
    assert_eq!(world.rows(&done).await, expected);
    assert_eq!(world.charged(), 0, "nobody is charged");
    assert_eq!((0..3).map(|site| world.logged(site, "\"begun\"")).sum::<usize>(), 3, "it ran once");
    // Another account knows nothing of it.
    let other = &world.sites.accounts[1].name;
    assert_eq!(world.jobs.list(other, 0).await.unwrap().0, vec![]);
    assert_eq!(world.jobs.show(other, &name(&job)).await.unwrap_err().code, "NO_SUCH_JOB");
    assert_eq!(world.jobs.page(other, &name(&job), 0).await.err().unwrap().code, "NO_SUCH_JOB");
    assert_eq!(world.jobs.cancel(other, &name(&job)).await.unwrap_err().code, "NO_SUCH_JOB");
}

#[tokio::test]
async fn of_two_who_have_to_say_yes_the_analyst_hears_of_the_first() {
    let [ada, bob] = [(); 2].map(|()| Identity::generate().unwrap());
    let stewards = format!("two_persons = true\n[stewards]\nada = \"{}\"\nbob = \"{}\"\n", ada.pin(), bob.pin());
    // Also while another site has not decided.
    let policies = [BY_RULE, &format!("{BY_HAND}{stewards}"), BY_HAND];
    let world = World::new("two-yeses", 1, policies, ("min_sites = 3", settings(1024, 4)));
    let (sql, expected) = below(30);
    let job = world.submit(0, &sql).await;
    let waiting = world.until(&job, |job| [1, 2].iter().all(|site| job.sites[*site].state == At::Waiting)).await;
    let waits = waiting.sites[1].waits_for.clone().unwrap();
    assert_eq!((waits.needs, waits.consents.len()), (2, 0));
    // Time for the sites to hold their replies.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let Reply::Inbox { plans, .. } = world.order(1, Order::Inbox { plan: None, from: 0 }).await else { panic!() };
    let (plan, site) = (plans[0].plan, world.sites.keys[1].pin());
    for (steward, heard) in [(&ada, At::Waiting), (&bob, At::Approved)] {
        let began = Instant::now();
        let proof = Some(Proof::sign(steward, &plan, site, 1, now_ms()));
        world.order(1, Order::Approve { plan, days: 1, note: "ward".into(), proof }).await;
        let of_ada = |job: &Job| job.sites[1].waits_for.as_ref().is_some_and(|waits| waits.consents == ["ada"]);
        world.until(&job, |job| job.sites[1].state == heard && (heard == At::Approved || of_ada(job))).await;
        // As above: not when the thirty seconds are over.
        assert!(began.elapsed() < Duration::from_secs(20), "it heard of it late: {:?}", began.elapsed());
    }
    world.order(2, Order::Approve { plan, days: 1, note: "ward".into(), proof: None }).await;
    let done = world.done(&job).await;
    assert_eq!(world.rows(&done).await, expected);
}

#[tokio::test]
async fn a_job_that_a_steward_rejects_fails_with_the_reason_and_one_that_is_cancelled_never_runs() {
    let world = World::new("rejects", 1, [BY_RULE, BY_HAND, BY_RULE], ("min_sites = 3", settings(1024, 4)));
    let jobs = [world.submit(0, &below(10).0).await, world.submit(0, &below(20).0).await];
    let mut plans = Vec::new();
    for job in &jobs {
        let waiting = world.until(job, |job| job.sites[1].state == At::Waiting).await;
        plans.push(waiting.sites[1].waits_for.clone().unwrap().plan);
    }
    let order = Order::Reject { plan: plans[0].clone(), reason: "ask the board".into(), note: "ada".into() };
    world.order(1, order).await;
    let failed = world.until(&jobs[0], |job| job.state == State::Failed).await;
    assert_eq!((code(&failed), failed.sites[1].state), ("REJECTED", At::Rejected));
    assert!(failed.refusal.as_ref().unwrap().message.contains("ask the board"));
    let cancelled = world.jobs.cancel("analyst0", &name(&jobs[1])).await.unwrap();
    assert_eq!((cancelled.state, code(&cancelled)), (State::Cancelled, "JOB_CANCELLED"));
    assert_eq!(world.jobs.page("analyst0", &name(&jobs[1]), 0).await.err().unwrap().code, "NO_SUCH_ANSWER");
    assert_eq!((0..3).map(|site| world.logged(site, "\"begun\"")).sum::<usize>(), 0);
}

#[tokio::test]
async fn questions_of_one_study_that_are_compared_with_each_other_run_one_after_the_other() {
    let hides = ("min_sites = 3\nmin_patients = 2\n", settings(4096, 8));
    let world = World::new("ledgered", 4, [BY_RULE; 3], hides);
    let mut jobs = Vec::new();
    for account in 0..4 {
        let (sql, expected) = below(10 * (1 + account as i64));
        jobs.push((world.submit(account, &sql).await, expected));
    }
    for (job, expected) in &jobs {
        assert_eq!(world.rows(&world.done(job).await).await, *expected);
    }
    // The same question about the same data, which every site has noted as answered, is answered from what was kept, also after the answers in memory are gone.
    world
        .comes_to("every site has noted its releases", || (0..3).all(|site| world.logged(site, "\"released\"") == 4))
        .await;
    let again = world.again();
    let (sql, expected) = below(10);
    let job = again.submit("analyst0", submission(&sql)).await.unwrap();
    let done = world.until_in(&again, &job, |job| job.state == State::Done).await;
    let page = again.page("analyst0", &name(&done), 0).await.unwrap();
    assert_eq!(serde_json::to_value(page).unwrap()["rows"], expected);
    assert_eq!((0..3).map(|site| world.logged(site, "\"begun\"")).sum::<usize>(), 12);
    // What is kept of other runs, as of the same question about other data, is not the answer.
    let state = world.sites.served[0].home().gate.state.clone();
    for (key, job) in state.beside().list::<Job>(Table::Jobs, &[]).unwrap() {
        let other = Job { run: Some(Run([9; 16])), ..job };
        state.beside().write(Write::new().put(Table::Jobs, &key, &other).unwrap()).unwrap();
    }
    let again = world.again();
    let job = again.submit("analyst0", submission(&sql)).await.unwrap();
    let failed = world.until_in(&again, &job, |job| job.state.is_over()).await;
    assert_eq!((failed.state, code(&failed)), (State::Failed, "ALREADY_RELEASED"));
    assert_eq!(again.page("analyst0", &name(&failed), 0).await.err().unwrap().code, "NO_SUCH_ANSWER");
}

#[tokio::test]
async fn a_study_that_a_steward_forgets_leaves_no_job_and_no_answer_at_the_node() {
    let world = World::new("forgets", 1, [BY_RULE, BY_HAND, BY_RULE], ("min_sites = 3", settings(1024, 4)));
    let job = world.submit(0, &below(10).0).await;
    let waiting = world.until(&job, |job| job.sites[1].state == At::Waiting).await;
    let Reply::Inbox { plans, .. } = world.order(1, Order::Inbox { plan: None, from: 0 }).await else { panic!() };
    world.order(1, Order::Approve { plan: plans[0].plan, days: 1, note: "ada".into(), proof: None }).await;
    world.done(&waiting).await;
    let second = world.submit(0, &below(20).0).await;
    world.until(&second, |job| job.sites[1].state == At::Waiting).await;
    let Reply::Receipt { line } = world.order(0, Order::Forget { study: job.study_digest }).await else { panic!() };
    assert!(line.contains("\"jobs\":2"), "{line}");
    assert_eq!(world.jobs.page("analyst0", &name(&job), 0).await.err().unwrap().code, "NO_SUCH_JOB");
    assert_eq!(world.jobs.list("analyst0", 0).await.unwrap().0, vec![]);
    assert!(world.jobs.counts().0.values().all(|count| *count == 0), "the one that waited has ended");
    let state = world.sites.served[0].home().gate.state.clone();
    let left = [Table::Jobs, Table::JobAnswers].map(|table| state.beside().keys(table, &[]).unwrap().len());
    assert_eq!(left, [0, 0]);
    assert_eq!(world.jobs.submit("analyst0", submission(&below(30).0)).await.unwrap_err().code, "STUDY_CLOSED");
}

#[tokio::test]
async fn a_name_that_somebody_else_gets_opens_no_job_of_the_one_before() {
    let world = World::new("renamed", 1, [BY_RULE, BY_HAND, BY_RULE], ("min_sites = 3", settings(1024, 4)));
    let ended = world.submit(0, &below(10).0).await;
    world.jobs.cancel("analyst0", &name(&ended)).await.unwrap();
    let waits = world.submit(0, &below(20).0).await;
    world.until(&waits, |job| job.sites[1].state == At::Waiting).await;
    let of_disk = |job: &Job| {
        let all = world.sites.served[0].home().gate.state.beside().list::<Job>(Table::Jobs, &[]).unwrap();
        all.into_iter().find(|(_, other)| other.id == job.id).unwrap().1
    };
    let home = |account: &Account| {
        let network = Network { analyst: vec![entry(account)], ..world.sites.network.clone() };
        Home { network: Arc::new(network), ..world.sites.served[0].home() }
    };
    let heir = Account { name: "analyst0".into(), identity: Arc::new(Identity::generate().unwrap()) };
    let other = Jobs::open(home(&heir), vec![heir.clone()], world.settings, DEADLINE).unwrap();
    assert_eq!(other.list("analyst0", 0).await.unwrap().0, vec![]);
    for job in [&ended, &waits] {
        assert_eq!(other.show("analyst0", &name(job)).await.unwrap_err().code, "NO_SUCH_JOB");
        assert_eq!(other.page("analyst0", &name(job), 0).await.err().unwrap().code, "NO_SUCH_JOB");
    }
    // What nobody's job is any more has ended, so that its time comes.
    let orphan = of_disk(&waits);
    assert_eq!((orphan.state, code(&orphan)), (State::Failed, "NOT_AN_ACCOUNT"));
    assert!(orphan.ended_ms.is_some());
    // While a key is replaced both are the same analyst's.
    let mut both = entry(&heir);
    both.pins.push(world.sites.accounts[0].identity.pin());
    let network = Arc::new(Network { analyst: vec![both], ..world.sites.network.clone() });
    let replacing = Jobs::open(Home { network, ..home(&heir) }, vec![heir.clone()], world.settings, DEADLINE).unwrap();
    assert_eq!(replacing.list("analyst0", 0).await.unwrap().0.len(), 2);
}

#[tokio::test]
async fn an_inbox_that_is_full_costs_nobody_a_refusal() {
    let world = World::new("full", 1, [BY_RULE, BY_HAND, BY_RULE], ("min_sites = 3", settings(1024, 4)));
    let first = world.submit(0, &below(10).0).await;
    world.until(&first, |job| job.sites[1].state == At::Waiting).await;
    let state = world.sites.served[1].home().gate.state.clone();
    let waiting = state.inbox().unwrap().remove(0);
    while state.wait(&Waiting { plan: state.head().unwrap().hash, ..waiting.clone() }).is_ok() {}
    let job = world.submit(0, &below(20).0).await;
    let told = |job: &Job| job.sites[1].refusal.as_ref().is_some_and(|refusal| refusal.code == "INBOX_FULL");
    world.until(&job, told).await;
    // It is asked again, and waits when there is room.
    world.order(1, Order::Reject { plan: plan_name(&waiting), reason: "no".into(), note: "ada".into() }).await;
    world.until(&job, |job| job.sites[1].state == At::Waiting).await;
    assert_eq!(world.logged(1, "INBOX_FULL"), 0, "nobody is charged");
}

#[tokio::test]
async fn what_one_account_submits_and_what_a_site_is_asked_is_bounded() {
    let few = JobSettings { unfinished: 2, kept: 3, ..settings(1024, 1) };
    let world = World::new("bounded", 1, [BY_RULE, BY_HAND, BY_RULE], ("min_sites = 3", few));
    let texts: Vec<String> = (0..8).map(|n| below(5 + n).0).collect();
    let taken = futures::future::join_all(texts.iter().map(|sql| world.jobs.submit("analyst0", submission(sql)))).await;
    let taken: Vec<Job> = taken.into_iter().flatten().collect();
    assert_eq!(taken.len(), 2, "no more than may be unfinished");
    for job in &taken {
        world.jobs.cancel("analyst0", &name(job)).await.unwrap();
    }
    for _ in 0..6 {
        let job = world.submit(0, &below(40).0).await;
        world.jobs.cancel("analyst0", &name(&job)).await.unwrap();
    }
    let kept = world.jobs.list("analyst0", 0).await.unwrap().0;
    assert!(kept.len() <= 4, "{} ended jobs are kept", kept.len());
    assert!(kept[0].submitted_ms > taken[1].submitted_ms, "the oldest go first");
    // Whoever says that a question comes and says none takes no more than its part of a site.
    let endpoint = any_port();
    let consult = async || {
        let (identity, network) = (&world.sites.accounts[0].identity, &world.sites.network);
        let connection = connect::dial(&endpoint, identity, network, 2, DEADLINE, DEADLINE).await.unwrap();
        let mut control = ControlStream::open(&connection, DEADLINE).await.unwrap();
        control.send(&Greeting::Consult { version: PROTOCOL_VERSION }).await.unwrap();
        // Those who are listened to are left after a while.
        let told = control.recv::<Told>().await;
        let busy = matches!(told, Ok(Told::Refuse { code, .. }) if code == "SITE_BUSY");
        (busy, connection, control)
    };
    let told = futures::future::join_all((0..48).map(|_| consult())).await;
    let (busy, listened): (Vec<_>, Vec<_>) = told.iter().partition(|(busy, ..)| *busy);
    assert!(!busy.is_empty() && listened.len() >= 32, "{} are sent away", busy.len());
}

#[tokio::test]
async fn what_waited_goes_on_and_what_was_told_is_sealed_and_what_is_old_is_gone() {
    let world = World::new("restart", 1, [BY_RULE, BY_HAND, BY_RULE], ("min_sites = 3", settings(1024, 4)));
    let canary = "737373198402296061";
    let sql = format!("SELECT COUNT(*) AS n FROM t WHERE x < {canary}");
    let job = world.submit(0, &sql).await;
    world.until(&job, |job| job.sites[1].state == At::Waiting).await;
    let file = world.folder.at("a-state/jobs.redb");
    let bytes = fs::read(&file).unwrap();
    for word in [canary, "SELECT", "analyst0"] {
        assert!(!bytes.windows(word.len()).any(|window| window == word.as_bytes()), "{word} is in the file");
    }
    #[cfg(unix)]
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).unwrap().permissions()) & 0o777, 0o600);
    // A node that starts again takes it up.
    let again = world.again();
    let waiting = world.until_in(&again, &job, |job| job.sites[1].state == At::Waiting).await;
    assert!(waiting.revision > job.revision);
    again.cancel("analyst0", &name(&job)).await.unwrap();
    world.jobs.cancel("analyst0", &name(&job)).await.unwrap();
    // Kept for no time at all, it is gone.
    let none = JobSettings { keep_days: 0, ..world.settings };
    tokio::time::sleep(Duration::from_millis(20)).await;
    let later = world.opened(none);
    assert_eq!(later.list("analyst0", 0).await.unwrap().0, vec![]);
}

#[tokio::test]
async fn a_site_that_is_busy_is_asked_again() {
    let world = World::new("busy", 1, [BY_RULE; 3], ("min_sites = 3", settings(1024, 4)));
    // Questions that a site is ready for, and that nobody starts, have all its room as long as their analyst is there.
    let (analyst, question) = (world.sites.analyst(), world.proposal(&below(7).0));
    let hold = async || {
        let mut link = sites::propose(&analyst, 1, &question).await;
        let told = link.control.recv_within::<Told>(PATIENCE).await;
        assert!(matches!(told, Ok(Told::Ready(_))), "{told:?}");
        link
    };
    let held = futures::future::join_all((0..16).map(|_| hold())).await;
    let (sql, expected) = below(30);
    let job = world.submit(0, &sql).await;
    let told = |job: &Job| job.sites[1].refusal.as_ref().is_some_and(|refusal| refusal.code == "SITE_BUSY");
    world.until(&job, told).await;
    drop(held);
    assert_eq!(world.rows(&world.done(&job).await).await, expected);
    let figures = world.sites.served[1].figures();
    assert!(figures.contains("consilium_questions_total{code=\"SITE_BUSY\"}"), "{figures}");
}

#[tokio::test]
async fn bad_orders_are_refused_by_name() {
    let few = JobSettings { unfinished: 1, ..settings(1024, 1) };
    let world = World::new("bad", 1, [BY_RULE, BY_HAND, BY_RULE], ("min_sites = 3", few));
    let refused = async |account: &str, submission: Submission| match world.jobs.submit(account, submission).await {
        Ok(_) => "taken".to_owned(),
        Err(error) => error.code.into_owned(),
    };
    assert_eq!(refused("analyst0", submission("SELECT COUNT(*) FROM")).await, "SQL_SYNTAX");
    assert_eq!(refused("analyst0", submission("SELECT COUNT(*) FROM nowhere")).await, "UNKNOWN_TABLE");
    let other_plan = Submission { plan: Some([7; 32]), ..submission(&below(5).0) };
    assert_eq!(refused("analyst0", other_plan).await, "PLAN_DIFFERS");
    let other_study = Submission { study: Some("other".into()), ..submission(&below(5).0) };
    assert_eq!(refused("analyst0", other_study).await, "NO_SUCH_STUDY");
    assert_eq!(refused("somebody", submission(&below(5).0)).await, "NOT_AN_ACCOUNT");
    assert_eq!(refused("analyst0", submission(&below(5).0)).await, "taken");
    assert_eq!(refused("analyst0", submission(&below(6).0)).await, "TOO_MANY_JOBS");
    let pin = Identity::generate().unwrap().pin();
    assert_eq!(world.jobs.account_of(pin).unwrap_err().code, "NOT_AN_ACCOUNT");
}
