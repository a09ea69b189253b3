//! What is met at first: a file that several want at once, rows that an older version left.

use std::sync::Barrier;
use std::thread;

use query_planner::Audience;

use super::*;
use crate::state::audit::Event;
use crate::state::inbox::Waiting;
use crate::state::{Table, hex};

#[test]
fn the_file_beside_the_ledger_is_opened_once_however_many_come_first() {
    for _ in 0..8 {
        let (folder, all) = (Scratch::new(), Barrier::new(8));
        let state = folder.open(&identity()).unwrap();
        let look = || {
            all.wait();
            state.beside().keys(Table::Jobs, &[]).map(|keys| keys.len())
        };
        thread::scope(|scope| {
            let looks: Vec<_> = (0..8).map(|_| scope.spawn(look)).collect();
            looks.into_iter().for_each(|look| assert_eq!(look.join().unwrap(), Ok(0)));
        });
    }
}

#[test]
fn plans_that_an_older_version_named_by_their_plan_alone_take_no_room_in_the_inbox() {
    let folder = Scratch::new();
    let state = folder.open(&identity()).unwrap();
    let waiting = |plan: u16| {
        let [high, low] = plan.to_be_bytes();
        Waiting {
            plan: [[high, low]; 16].concat().try_into().unwrap(),
            study: STUDY,
            disclosure: [2; 32],
            study_name: "s".into(),
            analyst: "ada".into(),
            analyst_pin: hex::text(&[1; 32]),
            query: TEXT.into(),
            explained: String::new(),
            since_ms: 1,
            now_ms: 1,
            audience: Audience::Analyst,
            noise: None,
            consents: Vec::new(),
        }
    };
    let older = |change: &mut crate::state::Change| {
        (0..300).try_for_each(|plan| change.put(Table::Inbox, &waiting(plan).plan, &waiting(plan)))?;
        change.log(Event::Policy { policy: [0; 32] });
        Ok(())
    };
    state.change(older).unwrap();
    assert_eq!(state.inbox().unwrap(), []);
    state.wait(&waiting(300)).unwrap();
    assert_eq!(state.inbox().unwrap(), [waiting(300)]);
}
