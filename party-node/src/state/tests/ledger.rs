//! Releases, limits and budgets of one site.

use std::sync::Barrier;
use std::thread;

use super::*;
use crate::agree::{Signed, Word};
use crate::govern::approval::{self, Approval, By};
use crate::govern::meeting::{Extent, Past};
use crate::state::audit::{Asked, Event, Head};
use crate::state::beside::Write;
use crate::state::inbox::Waiting;
use crate::state::ledger::Who;
use crate::state::limits::Limit;
use crate::state::{Rows, Table};

fn code<T: std::fmt::Debug>(result: Result<T, NodeError>) -> String {
    result.unwrap_err().code.into_owned()
}

#[test]
fn releases_come_back_in_order_with_their_sets_after_a_restart() {
    let (scratch, identity) = (Scratch::new(), identity());
    let state = scratch.open(&identity).unwrap();
    for number in [5, 3, 4] {
        begin(&state, number).unwrap();
        state.note(&[number; 16], Extent::All, &sets(number)).unwrap();
    }
    state.finish(&[5; 16], Some(b"answer"), vec![]).unwrap();
    state.refuse(&[3; 16], "TOO_CLOSE", 0, vec![]).unwrap();
    let digest = state.digest_of(&STUDY).unwrap();
    drop(state);
    let state = scratch.open(&identity).unwrap();
    let found = state.outlines(&STUDY).unwrap();
    assert_eq!(found.iter().map(|r| r.id[0]).collect::<Vec<_>>(), [5, 3, 4]);
    assert!([5, 3, 4].iter().all(|number| noted(&state, *number) == sets(*number)));
    assert!(noted(&state, 6) == Sets::default(), "of a release that this site did not come to");
    assert_eq!(found.iter().map(|r| r.progress.counts()).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(state.digest_of(&STUDY).unwrap(), digest);
    assert_eq!(state.answer(&STUDY, &[2; 32], &[3; 32]).unwrap().unwrap().as_slice(), b"answer");
    assert_eq!(state.answer(&STUDY, &[2; 32], &[4; 32]).unwrap(), None);
    assert!(state.outlines(&[8; 32]).unwrap().is_empty());
}

#[test]
fn digests_agree_where_the_same_releases_count_in_the_same_order() {
    let (a, b, identity) = (Scratch::new(), Scratch::new(), identity());
    let (a, b) = (a.open(&identity).unwrap(), b.open(&identity).unwrap());
    let same = || a.digest_of(&STUDY).unwrap() == b.digest_of(&STUDY).unwrap();
    assert!(same());
    begin(&a, 1).unwrap();
    assert!(!same());
    begin(&b, 1).unwrap();
    a.finish(&[1; 16], None, vec![]).unwrap();
    assert!(same(), "a release that a crash left behind counts as one that came out");
    a.log(Event::Policy { policy: [0; 32] }).unwrap();
    begin(&a, 2).unwrap();
    begin(&b, 2).unwrap();
    a.refuse(&[2; 16], "TOO_CLOSE", 0, vec![]).unwrap();
    assert!(!same());
    a.count(&[2; 16]).unwrap();
    assert!(same());
}

#[test]
fn a_release_begins_once_and_ends_once() {
    let (scratch, identity) = (Scratch::new(), identity());
    let state = scratch.open(&identity).unwrap();
    assert_eq!(code(state.finish(&[1; 16], None, vec![])), "NO_SUCH_RELEASE");
    assert_eq!(code(state.note(&[1; 16], Extent::All, &sets(1))), "NO_SUCH_RELEASE");
    begin(&state, 1).unwrap();
    assert_eq!(code(begin(&state, 1)), "RELEASE_EXISTS");
    state.finish(&[1; 16], None, vec![]).unwrap();
    assert_eq!(code(state.finish(&[1; 16], None, vec![])), "RELEASE_ENDED");
    assert_eq!(code(state.refuse(&[1; 16], "LATE", 0, vec![])), "RELEASE_ENDED");
    assert_eq!(code(state.note(&[1; 16], Extent::All, &sets(1))), "RELEASE_ENDED");
}

#[test]
fn of_two_releases_compared_with_the_same_ledger_one_begins() {
    let (scratch, identity) = (Scratch::new(), identity());
    let state = scratch.open(&identity).unwrap();
    let terms = terms(&state);
    assert_eq!(race(|number| state.begin(&release(number), &terms)), "LEDGER_MOVED");
}

#[test]
fn of_two_races_for_the_last_budget_exactly_one_wins() {
    for _ in 0..10 {
        let (scratch, identity) = (Scratch::new(), identity());
        let state = scratch.open(&identity).unwrap();
        let spend = of_epsilon(600_000, 1_000_000, None);
        assert_eq!(race(|_| state.reserve(&STUDY, &spend)), "BUDGET_EXHAUSTED");
        assert_eq!(state.spent(&STUDY).unwrap().epsilon.in_study, 600_000);
        state.reserve(&STUDY, &of_epsilon(400_000, 1_000_000, None)).unwrap();
        assert_eq!(code(state.reserve(&STUDY, &of_epsilon(1, 1_000_000, None))), "BUDGET_EXHAUSTED");
    }
}

/// Two threads at once: one succeeds, and this is the other's code.
fn race(attempt: impl Fn(u8) -> Result<(), NodeError> + Sync) -> String {
    let start = Barrier::new(2);
    let run = |number| {
        start.wait();
        attempt(number)
    };
    let results = thread::scope(|scope| {
        let threads = [1, 2].map(|number| scope.spawn(move || run(number)));
        threads.map(|thread| thread.join().unwrap())
    });
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    results.into_iter().find_map(Result::err).unwrap().code.into_owned()
}

#[test]
fn the_budget_of_all_studies_is_taken_with_each_studys_own() {
    const OTHER: [u8; 32] = [77; 32];
    let (scratch, identity) = (Scratch::new(), identity());
    let state = scratch.open(&identity).unwrap();
    let spend = |millionths, in_all| of_epsilon(millionths, 10, in_all);
    // What was taken before there was a limit counts.
    state.reserve(&STUDY, &spend(6, None)).unwrap();
    state.reserve(&OTHER, &spend(5, Some(12))).unwrap();
    let head = state.head().unwrap();
    assert_eq!(code(state.reserve(&OTHER, &spend(2, Some(12)))), "BUDGET_EXHAUSTED");
    assert_eq!(code(state.reserve(&STUDY, &spend(5, None))), "BUDGET_EXHAUSTED");
    // One that is refused takes nothing of the other.
    assert_eq!(
        [state.spent(&STUDY).unwrap(), state.spent(&OTHER).unwrap()].map(|spent| spent.epsilon.in_study),
        [6, 5]
    );
    assert_eq!((state.spent_in_all().unwrap(), state.head().unwrap()), ([11, 0], head));
    let studies = [STUDY, OTHER];
    let last = |number: u8| state.reserve(&studies[usize::from(number) - 1], &spend(1, Some(12)));
    assert_eq!(race(last), "BUDGET_EXHAUSTED", "of two studies that race for the last of it, one wins");
}

#[test]
fn delta_is_taken_with_epsilon_and_of_two_races_for_the_last_of_it_one_wins() {
    const OTHER: [u8; 32] = [77; 32];
    let (scratch, identity) = (Scratch::new(), identity());
    let state = scratch.open(&identity).unwrap();
    let spend = |takes, in_all| Spend { delta: Part { takes, limit: 10, in_all }, ..of_epsilon(1, 100, None) };
    state.reserve(&STUDY, &spend(6, None)).unwrap();
    assert_eq!(race(|_| state.reserve(&STUDY, &spend(4, None))), "BUDGET_EXHAUSTED");
    // One that δ refuses takes no ε either, and is not in the log.
    let (before, head) = (state.spent(&STUDY).unwrap(), state.head().unwrap());
    assert_eq!(code(state.reserve(&STUDY, &spend(1, None))), "BUDGET_EXHAUSTED");
    assert_eq!((state.spent(&STUDY).unwrap(), state.head().unwrap()), (before, head));
    assert_eq!((before.epsilon.in_study, before.delta.in_study), (2, 10));
    // What has none is not stopped.
    state.reserve(&STUDY, &of_epsilon(1, 100, None)).unwrap();
    assert_eq!(code(state.reserve(&OTHER, &spend(3, Some(12)))), "BUDGET_EXHAUSTED", "of all studies");
    state.reserve(&OTHER, &spend(2, Some(12))).unwrap();
    assert_eq!(state.spent_in_all().unwrap(), [4, 12]);
    let log = std::fs::read_to_string(scratch.log()).unwrap();
    let [with, without] = ["\"delta\":2,\"delta_spent\":2", "\"delta\":0"].map(|part| log.matches(part).count());
    assert_eq!([with, without], [1, 0], "{log}");
}

#[test]
fn a_release_that_the_budget_refuses_leaves_nothing_behind() {
    let (scratch, identity) = (Scratch::new(), identity());
    let state = scratch.open(&identity).unwrap();
    let privacy = Some(of_epsilon(2, 1, None));
    let head = state.head().unwrap();
    assert_eq!(code(state.begin(&release(1), &Terms { privacy, ..terms(&state) })), "BUDGET_EXHAUSTED");
    assert_eq!((state.outlines(&STUDY).unwrap().len(), state.head().unwrap()), (0, head));
}

#[test]
fn a_run_that_breaks_off_is_charged_and_still_counts() {
    let (scratch, identity) = (Scratch::new(), identity());
    let state = scratch.open(&identity).unwrap();
    let limit = Limit { most: 2, total: 9, days: 1 };
    let full = |who: &Who| state.within(who, None, Some(limit), 0).map_err(|error| error.code.into_owned());
    let who = Who::new(&release(1).analyst, STUDY);
    for number in [1, 2] {
        assert_eq!(full(&who), Ok(()));
        begin(&state, number).unwrap();
        state.broke_off(&[number; 16], None, 0, vec![]).unwrap();
    }
    assert_eq!(full(&who), Err("TOO_MANY_REFUSALS".into()));
    assert!(state.outlines(&STUDY).unwrap().iter().all(|release| release.progress == Progress::Begun));
    begin(&state, 3).unwrap();
    state.finish(&[3; 16], None, vec![]).unwrap();
    state.broke_off(&[3; 16], None, 0, vec![]).unwrap();
    assert_eq!(full(&Who::new("somebody else", STUDY)), Ok(()), "charged to whoever asked");
}

#[test]
fn releases_and_refusals_are_limited_by_period() {
    let (scratch, identity) = (Scratch::new(), identity());
    let state = scratch.open(&identity).unwrap();
    let day = 24 * 60 * 60 * 1000;
    let two = Some(Limit { most: 2, total: 9, days: 1 });
    let try_at = |number, at_ms| {
        let mut release = release(number);
        release.at_ms = at_ms;
        state.begin(&release, &Terms { releases: two, refusals: two, ..terms(&state) })
    };
    try_at(1, day).unwrap();
    state.refuse(&[1; 16], "TOO_CLOSE", day, vec![]).unwrap();
    try_at(2, day + 10).unwrap();
    assert_eq!(code(try_at(3, 2 * day)), "TOO_MANY_RELEASES");
    assert_eq!(code(try_at(3, 0)), "TOO_MANY_RELEASES", "a clock put back frees nothing");
    let asked = Asked { study: STUDY, plan: [1; 32], disclosure: [1; 32], analyst: "ada".into() };
    state.deny(asked, "COLUMN_NOT_ALLOWED", day + 5).unwrap();
    assert_eq!(code(state.within(&Who::new("ada", STUDY), None, two, 2 * day)), "TOO_MANY_REFUSALS");
    try_at(3, 2 * day + 1).unwrap();
}

#[test]
fn an_analyst_who_uses_up_a_limit_locks_out_nobody_else_before_the_total_is_reached() {
    let (scratch, identity) = (Scratch::new(), identity());
    let state = scratch.open(&identity).unwrap();
    let limit = Some(Limit { most: 2, total: 3, days: 1 });
    let ask = |number, analyst: &str, study| {
        let mut release = release(number);
        (release.analyst, release.study) = (analyst.into(), study);
        let after = state.standing(&study).unwrap();
        state.begin(&release, &Terms { after, releases: limit, refusals: limit, privacy: None })
    };
    let refuse = |analyst: &str, study| {
        let asked = Asked { study, plan: [1; 32], disclosure: [1; 32], analyst: analyst.into() };
        state.deny(asked, "COLUMN_NOT_ALLOWED", 1000).unwrap();
    };
    let refused = |analyst: &str, study| state.within(&Who::new(analyst, study), None, limit, 1000).is_err();
    ask(1, "ada", STUDY).unwrap();
    ask(2, "ada", STUDY).unwrap();
    assert_eq!(code(ask(3, "ada", STUDY)), "TOO_MANY_RELEASES");
    ask(4, "bob", STUDY).unwrap();
    assert_eq!(code(ask(5, "bob", STUDY)), "TOO_MANY_RELEASES", "three in all");
    refuse("ada", STUDY);
    refuse("ada", STUDY);
    let other = [8; 32];
    assert_eq!([refused("ada", STUDY), refused("bob", STUDY), refused("ada", other)], [true, false, false]);
    refuse("ada", other);
    assert_eq!([refused("ada", other), refused("bob", STUDY)], [true, true], "three in all");
}

/// A word of a site that knows these releases.
fn said(past: Vec<Past>, identity: &Identity) -> Signed {
    let (plan, study, network, policy) = ([0; 32], STUDY, [0; 32], [0; 32]);
    let (analyst, by) = (identity.pin(), By::Rule(1));
    let terms = approval::Terms { plan, study, network, policy, analyst, by, from_ms: 0, until_ms: 1 };
    let word = Word {
        run: [0; 16],
        nonce: [0; 32],
        key: identity.public_key().0,
        agreement: vec![],
        approval: Approval { terms, signature: vec![] },
        past,
        head: Head::EMPTY,
        seen: vec![],
    };
    Signed::new(word, identity)
}

#[test]
fn of_two_questions_that_were_ready_together_the_one_that_starts_later_is_refused() {
    let (scratch, identity) = (Scratch::new(), identity());
    let state = scratch.open(&identity).unwrap();
    begin(&state, 1).unwrap();
    let words = || vec![said(state.past(&STUDY, &[3; 32]).unwrap(), &identity)];
    let (first, second) = (words(), words());
    state.not_moved(&STUDY, &[0; 32], (&first, 0)).unwrap();
    begin(&state, 2).unwrap();
    state.note(&[2; 16], Extent::All, &sets(2)).unwrap();
    // The ledger is looked at anew when the second one starts, so its own digest would fit: the words do not.
    assert_eq!(code(state.not_moved(&STUDY, &[0; 32], (&second, 0))), "LEDGER_MOVED");
    assert_eq!(code(state.not_moved(&STUDY, &[1; 32], (&words(), 0))), "LEDGER_OTHER_KEYS");
    state.not_moved(&STUDY, &[0; 32], (&words(), 0)).unwrap();
}

#[test]
fn what_keeps_its_sets_after_another_began_keeps_none_and_what_was_ready_before_it_kept_them_does_not_begin() {
    for of in [Extent::Whole, Extent::All] {
        let (scratch, identity) = (Scratch::new(), identity());
        let state = scratch.open(&identity).unwrap();
        begin(&state, 1).unwrap();
        let words = || vec![said(state.past(&STUDY, &[3; 32]).unwrap(), &identity)];
        let (before, late) = (words(), terms(&state));
        state.note(&[1; 16], of, &sets(1)).unwrap();
        assert_eq!(
            code(state.not_moved(&STUDY, &[0; 32], (&before, 0))),
            "LEDGER_MOVED",
            "{of:?} are kept, and not compared"
        );
        assert_eq!(code(state.begin(&release(2), &late)), "LEDGER_MOVED", "{of:?}, kept after that look");
        state.not_moved(&STUDY, &[0; 32], (&words(), 0)).unwrap();
        begin(&state, 2).unwrap();
        assert_eq!(
            code(state.note(&[1; 16], Extent::All, &sets(1))),
            "LEDGER_MOVED",
            "the second is not compared with it"
        );
        state.refuse(&[2; 16], "TOO_CLOSE", 5, vec![]).unwrap();
        state.note(&[1; 16], Extent::All, &sets(1)).unwrap();
    }
}

#[test]
fn of_a_release_that_began_while_this_site_was_away_it_knows_no_more_than_that() {
    let (scratch, identity) = (Scratch::new(), identity());
    let state = scratch.open(&identity).unwrap();
    let past =
        Past { id: [9; 16], plan: [8; 32], whole: None, all: None, unhidden: false, same_data: false, released: false };
    state.catch_up(&[said(vec![past], &identity)], &release(1)).unwrap();
    let adopted = state.outlines(&STUDY).unwrap().remove(0);
    assert_eq!((adopted.id, adopted.plan, &*adopted.text, &*adopted.analyst), ([9; 16], [8; 32], "", ""));
    let line = state.head().unwrap();
    state.catch_up(&[said(vec![past], &identity)], &release(1)).unwrap();
    assert_eq!(state.head().unwrap(), line, "what is known changes nothing");
    let answered = Past { id: [7; 16], released: true, ..past };
    assert_eq!(code(state.catch_up(&[said(vec![answered], &identity)], &release(1))), "LEDGER_ROLLED_BACK");
}

#[test]
fn no_index_is_given_twice() {
    let (scratch, identity) = (Scratch::new(), identity());
    let state = scratch.open(&identity).unwrap();
    assert_eq!((state.take("ot", 5).unwrap(), state.take("vole", 2).unwrap()), (0..5, 0..2));
    drop(state);
    let state = scratch.open(&identity).unwrap();
    assert_eq!(state.take("ot", 1).unwrap(), 5..6);
    assert_eq!(code(state.take("ot", u64::MAX)), "INDICES_USED_UP");
}

#[test]
fn a_forgotten_study_keeps_its_chain_and_no_patients() {
    let (scratch, identity) = (Scratch::new(), identity());
    let state = scratch.open(&identity).unwrap();
    begin(&state, 1).unwrap();
    state.note(&[1; 16], Extent::All, &sets(1)).unwrap();
    state.finish(&[1; 16], Some(b"answer"), vec![]).unwrap();
    begin(&state, 2).unwrap();
    let list = state.keep_matched(&[1; 16], "person_id\n7\n").unwrap();
    let mut other = release(9);
    other.study = [8; 32];
    state.begin(&other, &Terms { after: state.standing(&[8; 32]).unwrap(), ..terms(&state) }).unwrap();
    state.note(&other.id, Extent::All, &sets(9)).unwrap();
    let digest = state.digest_of(&STUDY).unwrap();
    assert_eq!(code(state.receipt(&STUDY)), "STUDY_OPEN");
    let receipt = state.forget(&STUDY).unwrap();
    assert!(!list.exists(), "the list of matched patients goes with the study");
    assert!(receipt.contains(r#""kind":"deleted""#) && receipt.contains(r#""sets":2,"answers":1"#), "{receipt}");
    assert_eq!(state.receipt(&STUDY).unwrap(), receipt);
    let kept = &state.outlines(&STUDY).unwrap()[0];
    assert!(noted(&state, 1) == Sets::default() && kept.text.is_empty() && kept.id == [1; 16]);
    assert_eq!(
        code(state.note(&[2; 16], Extent::All, &sets(2))),
        "STUDY_CLOSED",
        "a run that was going on leaves nothing behind"
    );
    assert_eq!(state.answer(&STUDY, &[0; 32], &[3; 32]).unwrap(), None);
    assert_eq!(state.digest_of(&STUDY).unwrap(), digest);
    assert!(noted(&state, 9) == sets(9));
    assert_eq!((code(begin(&state, 3)), code(state.forget(&STUDY))), ("STUDY_CLOSED".into(), "STUDY_CLOSED".into()));
    drop(state);
    scratch.open(&identity).unwrap();
}

#[test]
fn a_forgotten_study_keeps_no_job_and_no_question_that_waits_and_the_receipt_counts_them() {
    let (scratch, identity) = (Scratch::new(), identity());
    let state = scratch.open(&identity).unwrap();
    let job = |study: [u8; 32]| serde_json::json!({ "study_digest": hex_of(&study), "sql": TEXT });
    let write = |key: &[u8], study: [u8; 32]| {
        let write = Write::new().put(Table::Jobs, key, &job(study)).unwrap();
        let write = write.put(Table::JobAnswers, &[key, b"part"].concat(), &"planted answer").unwrap();
        state.write_beside(&study, write)
    };
    for key in [b"one", b"two"] {
        write(key, STUDY).unwrap();
    }
    write(b"other", [8; 32]).unwrap();
    let waiting = |plan: u8, study: [u8; 32]| Waiting {
        plan: [plan; 32],
        study,
        disclosure: [4; 32],
        study_name: "s".into(),
        analyst: "ana".into(),
        analyst_pin: "7".repeat(64),
        query: TEXT.into(),
        explained: "a plan".into(),
        since_ms: 0,
        now_ms: 0,
        audience: query_planner::Audience::Analyst,
        noise: None,
        consents: vec![],
    };
    state.wait(&waiting(1, STUDY)).unwrap();
    state.wait(&waiting(2, [8; 32])).unwrap();
    let receipt = state.forget(&STUDY).unwrap();
    assert!(receipt.contains(r#""answers":0,"jobs":2"#), "{receipt}");
    let left = |table| state.beside().keys(table, &[]).unwrap();
    assert_eq!((left(Table::Jobs), left(Table::JobAnswers)), (vec![b"other".to_vec()], vec![b"otherpart".to_vec()]));
    assert_eq!(state.inbox().unwrap().iter().map(|waiting| waiting.plan[0]).collect::<Vec<_>>(), [2]);
    // A job that ended meanwhile does not come back, nor a question.
    assert_eq!(code(write(b"one", STUDY)), "STUDY_CLOSED");
    assert_eq!(code(state.wait(&waiting(3, STUDY))), "STUDY_CLOSED");
    drop(state);
    let state = scratch.open(&identity).unwrap();
    assert_eq!(state.receipt(&STUDY).unwrap(), receipt);
    assert_eq!(state.check_log(&[identity.pin()]).unwrap().head, state.head().unwrap());
}

#[test]
fn a_change_that_fails_changes_nothing_and_one_that_is_not_logged_is_refused() {
    let (scratch, identity) = (Scratch::new(), identity());
    let state = scratch.open(&identity).unwrap();
    let failing: Result<(), _> = state.change(|change| {
        change.put(Table::Inbox, b"plan", &1)?;
        change.log(Event::Policy { policy: [0; 32] });
        Err(NodeError::new("NO", "no"))
    });
    assert_eq!(code(failing), "NO");
    assert_eq!(code(state.change(|change| change.put(Table::Inbox, b"plan", &1))), "INTERNAL");
    assert_eq!(state.view().unwrap().get::<u8>(Table::Inbox, b"plan").unwrap(), None);
    assert_eq!(state.change(|change| change.get::<u8>(Table::Inbox, b"plan")).unwrap(), None);
    state
        .change(|change| {
            change.log(Event::Policy { policy: [0; 32] });
            change.put(Table::Inbox, b"plan", &1)
        })
        .unwrap();
    assert_eq!(state.view().unwrap().list::<u8>(Table::Inbox, b"").unwrap(), [(b"plan".to_vec(), 1)]);
}

#[test]
fn neither_a_patient_nor_a_question_nor_an_answer_can_be_read_from_the_files() {
    let (scratch, identity) = (Scratch::new(), identity());
    let state = scratch.open(&identity).unwrap();
    begin(&state, 1).unwrap();
    state.note(&[1; 16], Extent::All, &sets(1)).unwrap();
    state.finish(&[1; 16], Some(b"planted answer"), vec![]).unwrap();
    drop(state);
    for path in [scratch.ledger(), scratch.log()] {
        let bytes = fs::read(&path).unwrap();
        for planted in [PATIENT.as_slice(), b"planted", b"Ravensburg", hex_of(&PATIENT).as_bytes()] {
            assert!(!bytes.windows(planted.len()).any(|window| window == planted), "{}", path.display());
        }
    }
    assert!(!format!("{:?}", release(1)).contains("planted"));
    assert_eq!(format!("{:?}", sets(1)), "Sets(2 of one site's patients)");
}

fn hex_of(bytes: &[u8]) -> String {
    crate::state::hex::text(bytes)
}

#[cfg(unix)]
#[test]
fn files_belong_to_their_owner_and_an_open_key_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let (scratch, identity) = (Scratch::new(), identity());
    drop(scratch.open(&identity).unwrap());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&scratch.folder()), 0o700);
    for path in [scratch.ledger(), scratch.log(), scratch.key()] {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    fs::set_permissions(scratch.key(), fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(code(scratch.open(&identity)), "KEY_FILE_OPEN");
}

#[test]
fn a_folder_has_one_process_at_a_time() {
    let (scratch, identity) = (Scratch::new(), identity());
    let _state = scratch.open(&identity).unwrap();
    assert_eq!(code(scratch.open(&identity)), "STATE_IN_USE");
}

#[test]
fn a_release_of_a_thousand_patients_is_kept_within_its_time() {
    let (scratch, identity) = (Scratch::new(), identity());
    let state = scratch.open(&identity).unwrap();
    let people = (0..1000_u128).map(|patient| Person::of(vec![Some(patient.to_be_bytes())])).collect();
    let sets = Sets::said([0; 32], people, vec![(0..1000).collect()]);
    let began = std::time::Instant::now();
    for number in 0..50 {
        let release = release(number);
        state.begin(&release, &terms(&state)).unwrap();
        state.note(&release.id, Extent::All, &sets).unwrap();
        state.finish(&release.id, None, vec![]).unwrap();
    }
    let each = began.elapsed() / 50;
    println!("begin, note and finish: {each:?}");
    assert!(each < std::time::Duration::from_secs(2), "{each:?}");
}
