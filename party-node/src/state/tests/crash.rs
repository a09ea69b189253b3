//! A site that dies at every moment between two durable writes.

use std::process::Command;
use std::sync::{Arc, Mutex};

use super::*;
use crate::state::limits::{Spent, Taken};
use query_planner::catalog::SiteName;

use crate::govern::approval::{self, Approval, By};
use crate::state::audit::{Event, Head, SiteHead, Step, verify};
use crate::state::moment::Moment;

/// What a caller was told, or is about to be: an effect that began and the same when it was done.
#[derive(Debug, Clone, Default)]
struct Told {
    /// Steps of the script that were begun.
    begun: usize,
    /// Steps that the caller heard were done.
    done: usize,
}

/// Steps of [`script`].
const STEPS: usize = 9;

/// A site's life: each step changes something that must not be lost once it is done.
fn script(state: &State, step: usize) {
    let spend = Spend { delta: Part { takes: 5, limit: 50, in_all: Some(70) }, ..of_epsilon(10, 100, None) };
    match step {
        0 => begin(state, 1).unwrap(),
        1 => state.reserve(&STUDY, &spend).unwrap(),
        2 => drop(state.take("ot", 4).unwrap()),
        3 => state.note(&[1; 16], Extent::Whole, &sets(3)).unwrap(),
        4 => state.note(&[1; 16], Extent::All, &sets(1)).unwrap(),
        5 => state.finish(&[1; 16], Some(b"answer"), sent()).unwrap(),
        6 => {
            let terms = Terms { privacy: Some(spend), ..terms(state) };
            state.begin_under(&by_rule(), &release(2), &terms, vec![head_of_b()]).unwrap();
        }
        7 => state.refuse(&[2; 16], "TOO_CLOSE", 5, sent()).unwrap(),
        8 => drop(state.forget(&STUDY).unwrap()),
        _ => unreachable!("{STEPS} steps"),
    }
}

fn by_rule() -> Approval {
    let pin = identity().pin();
    let (study, plan) = (STUDY, release(2).plan);
    let (network, policy, by) = ([0; 32], [0; 32], By::Rule(1));
    let terms = approval::Terms { plan, study, network, policy, analyst: pin, by, from_ms: 0, until_ms: i64::MAX };
    Approval { terms, signature: vec![] }
}

fn head_of_b() -> SiteHead {
    SiteHead { site: "b".into(), head: Head { seq: 9, hash: [9; 32] } }
}

fn sent() -> Vec<Step> {
    vec![Step { step: "/reveal".into(), messages: 1, bytes: 320 }]
}

fn said_what_was_sent(state: &State, number: u8) -> bool {
    let trail = state.trail(&crate::state::hex::text(&[number; 16])).unwrap_or_default();
    trail.iter().any(|entry| matches!(&entry.event, Event::Sent { steps, .. } if *steps == sent()))
}

/// How many steps a state shows as done.
fn steps_done(state: &State) -> usize {
    let releases = state.outlines(&STUDY).unwrap();
    let ended = |at: usize| releases.get(at).is_some_and(|release| release.progress != Progress::Begun);
    let Spent { epsilon: Taken { in_study: spent, in_all }, delta } = state.spent(&STUDY).unwrap();
    assert_eq!((in_all, delta), (spent, Taken { in_study: spent / 2, in_all: spent / 2 }), "all of it or nothing");
    let begun = [1, 2].map(|number| releases.iter().any(|release| release.id == [number; 16]));
    // The next index, taken in a copy that is thrown away.
    let taken = state.take("ot", 1).unwrap().start;
    let closed = state.receipt(&STUDY).is_ok();
    let noted = [Extent::Whole, Extent::All].map(|of| noted_of(state, 1, of));
    assert!(!closed || noted == [Sets::default(), Sets::default()]);
    let [whole, all] = [closed || noted[0] == sets(3), closed || noted[1] == sets(1)];
    // What is written with a release's beginning and end is there or not there with it.
    assert_eq!(begun[1], spent == 20);
    assert_eq!(begun[1], state.seen(&[SiteName("b".into())]).unwrap() == [head_of_b().head]);
    for (at, number) in [(0, 1), (1, 2)] {
        assert_eq!(ended(at), said_what_was_sent(state, number), "release {number}");
    }
    let shown = [begun[0], spent >= 10, taken >= 4, whole, all, ended(0), begun[1], ended(1), closed];
    let done = shown.iter().take_while(|shown| **shown).count();
    assert!(shown[done..].iter().all(|shown| !shown), "steps are made as a whole and in order: {shown:?}");
    done
}

/// Opens what a kill left and holds it against what the caller had been told.
fn check(scratch: &Scratch, identity: &Identity, told: &Told, what: &str) {
    let state = scratch.open(identity).unwrap_or_else(|error| panic!("{what}: {error}"));
    let done = steps_done(&state);
    assert!((told.done..=told.begun).contains(&done), "{what}: {done} steps, told {told:?}");
    // It goes on where it was.
    if done < STEPS {
        script(&state, done);
    }
    let head = state.head().unwrap();
    let summary = verify(&scratch.log(), &[identity.pin()]).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(summary.head, head, "{what}");
    drop(state);
    drop(scratch.open(identity).unwrap());
}

#[test]
fn killed_at_any_moment_nothing_is_reused_refunded_or_lost() {
    let (scratch, identity) = (Arc::new(Scratch::new()), identity());
    let told = Arc::new(Mutex::new(Told::default()));
    let kills = Arc::new(Mutex::new(Vec::new()));
    let hook = {
        let (scratch, told, kills) = (scratch.clone(), told.clone(), kills.clone());
        Hook::new(move |moment: Moment| {
            kills.lock().unwrap().push((moment, told.lock().unwrap().clone(), scratch.copy()));
        })
    };
    let state = scratch.open_with(&identity, hook).unwrap();
    for step in 0..STEPS {
        told.lock().unwrap().begun = step + 1;
        script(&state, step);
        told.lock().unwrap().done = step + 1;
    }
    drop(state);
    let kills = std::mem::take(&mut *kills.lock().unwrap());
    let mut moments: Vec<Moment> = kills.iter().map(|(moment, ..)| *moment).collect();
    moments.sort_unstable();
    moments.dedup();
    println!("{} kills at {} kinds of moment", kills.len(), moments.len());
    assert_eq!((moments.len(), kills.len()), (8, 3 + 5 * (STEPS + 1)));
    for (number, (moment, told, copy)) in kills.into_iter().enumerate() {
        check(&copy, &identity, &told, &format!("kill {number} at {moment:?}"));
    }
}

#[test]
fn a_kill_while_a_crash_is_repaired_is_repaired_too() {
    let (scratch, identity) = (Scratch::new(), identity());
    begin(&scratch.open(&identity).unwrap(), 1).unwrap();
    let log = fs::read(scratch.log()).unwrap();
    fs::write(scratch.log(), &log[..log.len() - 30]).unwrap();
    let scratch = Arc::new(scratch);
    let kills = Arc::new(Mutex::new(Vec::new()));
    let hook = {
        let (scratch, kills) = (scratch.clone(), kills.clone());
        Hook::new(move |_| kills.lock().unwrap().push(scratch.copy()))
    };
    drop(scratch.open_with(&identity, hook).unwrap());
    let kills = std::mem::take(&mut *kills.lock().unwrap());
    for copy in kills {
        check(&copy, &identity, &Told { begun: 1, done: 1 }, "repair");
    }
}

/// The folder in which [`a_child_that_dies`] works, and after how many moments it does.
const FOLDER: &str = "CONSILIUM_TEST_STATE_FOLDER";
const MOMENT: &str = "CONSILIUM_TEST_STATE_MOMENT";

/// No test of its own: the one below starts it in a process that it may kill, and it always runs there.
#[test]
#[ignore = "run by the test below in a process of its own"]
fn a_child_that_dies() {
    let (Ok(folder), Ok(moment)) = (std::env::var(FOLDER), std::env::var(MOMENT)) else { return };
    let folder = PathBuf::from(folder);
    let left = Mutex::new(moment.parse::<usize>().unwrap());
    let hook = Hook::new(move |_| {
        let mut left = left.lock().unwrap();
        *left -= 1;
        if *left == 0 {
            std::process::abort();
        }
    });
    let identity = Identity::from_pkcs8(fs::read(folder.join("id")).unwrap()).unwrap();
    let state =
        State::open_with(&folder.join("state"), &folder.join("keys").join("state.key"), &identity, hook).unwrap();
    for step in 0..STEPS {
        script(&state, step);
        fs::write(folder.join("told"), (step + 1).to_string()).unwrap();
    }
}

#[test]
fn a_process_that_is_killed_loses_nothing_that_it_had_told() {
    for moment in 1..=3 + 5 * (STEPS + 1) {
        let (scratch, identity) = (Scratch::new(), identity());
        fs::write(scratch.0.join("id"), identity.pkcs8()).unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "state::tests::crash::a_child_that_dies", "--ignored"])
            .envs([(FOLDER, scratch.0.as_os_str()), (MOMENT, moment.to_string().as_ref())])
            .output()
            .unwrap();
        assert!(!child.status.success(), "moment {moment} is reached");
        let done = fs::read_to_string(scratch.0.join("told")).map_or(0, |text| text.parse().unwrap());
        check(&scratch, &identity, &Told { begun: done + 1, done }, &format!("killed at moment {moment}"));
    }
}
