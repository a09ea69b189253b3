//! Who had a turn when.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use party_node::jobs::Jobs;
use party_node::jobs::job::{Id, State};
use tokio::task::JoinHandle;

/// Whose job waits for a turn, or has one, in the order in which that is seen.
pub struct Seen {
    account: String,
    job: Id,
    has_turn: bool,
}

/// Watches the jobs until all fifty have ended.
pub fn watched(jobs: &Arc<Jobs>) -> JoinHandle<Vec<Seen>> {
    let (jobs, mut changes) = (jobs.clone(), jobs.subscribe());
    tokio::spawn(async move {
        let (mut seen, mut last, mut over) = (Vec::new(), HashMap::new(), HashSet::new());
        while over.len() < 50 {
            let changed = changes.recv().await.expect("no change is missed");
            let Some(now) = jobs.now(&changed.account, changed.id).await.unwrap() else { continue };
            let before = last.insert(now.id, now.state);
            if before != Some(now.state) && [State::Queued, State::Running].contains(&now.state) {
                seen.push(Seen { account: now.account, job: now.id, has_turn: now.state == State::Running });
            } else if now.state.is_over() {
                over.insert(now.id);
            }
        }
        seen
    })
}

/// From when on everybody has had a job in the queue: whoever waits then has a turn before anybody has had more than three, one of the
/// queue's and two that were given already.
pub fn judge(seen: &[Seen]) {
    let first = |account: &str| seen.iter().position(|seen| seen.account == account).expect("it asked");
    let accounts: BTreeSet<&str> = seen.iter().map(|seen| seen.account.as_str()).collect();
    let (before, after) =
        seen.split_at(1 + accounts.iter().map(|account| first(account)).max().expect("somebody asked"));
    let latest: HashMap<Id, &Seen> = before.iter().map(|seen| (seen.job, seen)).collect();
    let waiting: Vec<&Seen> = latest.into_values().filter(|seen| !seen.has_turn).collect();
    assert!(waiting.len() > 2, "nothing waited");
    let given: Vec<&str> = after.iter().filter(|seen| seen.has_turn).map(|seen| seen.account.as_str()).collect();
    println!("{} jobs wait when everybody has asked; turns from then on: {given:?}", waiting.len());
    for account in waiting.iter().map(|seen| &seen.account) {
        let turn = given.iter().position(|given| given == account).expect("it has its turn");
        for other in &accounts {
            let others = given[..turn].iter().filter(|given| *given == other).count();
            assert!(others <= 3, "{other} has {others} turns before {account}: {given:?}");
        }
    }
}
