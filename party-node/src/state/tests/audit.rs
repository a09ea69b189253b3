//! The log by itself.

use mpc_core::identity::Pin;

use super::*;
use crate::state::audit::{Event, Head, SiteHead, Step, check_all, entries, verify, verify_export};

/// A log with lines of several kinds, and the pin of its key.
fn small_log() -> (Scratch, State, Pin) {
    let (scratch, identity) = (Scratch::new(), identity());
    let state = scratch.open(&identity).unwrap();
    begin(&state, 1).unwrap();
    let steps = vec![Step { step: "/reveal\n\"commit\"".into(), messages: 2, bytes: 320 }];
    let heads = vec![SiteHead { site: "b".into(), head: Head { seq: 3, hash: [5; 32] } }];
    state
        .change(|change| {
            change.log(Event::Heads { release: [1; 16], heads });
            Ok(())
        })
        .unwrap();
    state.finish(&[1; 16], None, steps).unwrap();
    (scratch, state, identity.pin())
}

#[test]
fn editing_any_byte_of_the_log_is_found() {
    let (scratch, state, pin) = small_log();
    drop(state);
    let log = fs::read(scratch.log()).unwrap();
    let summary = verify(&scratch.log(), &[pin]).unwrap();
    assert_eq!((summary.head.seq, summary.epoch), (5, 4));
    let (mut tried, mut late) = (0, 0);
    for at in 0..log.len() {
        let line = 1 + log[..at].iter().filter(|byte| **byte == b'\n').count() as u64;
        for other in [log[at] ^ 1, log[at] ^ 0x20, b'\n'].into_iter().filter(|byte| *byte != log[at]) {
            let mut edited = log.clone();
            edited[at] = other;
            let bad = check_all(edited.as_slice(), &[pin], |_| ()).unwrap().unwrap_err();
            tried += 1;
            late += usize::from(bad.line != line);
        }
    }
    println!("{tried} edits of {} bytes, all found, {late} of them not at their own line", log.len());
    assert_eq!(late, 0);
}

#[test]
fn lines_cannot_be_removed_inserted_or_reordered() {
    let (scratch, state, pin) = small_log();
    let head = state.head().unwrap();
    drop(state);
    let log = fs::read_to_string(scratch.log()).unwrap();
    let lines: Vec<&str> = log.split_inclusive('\n').collect();
    let copy = scratch.0.join("edited.log");
    let check = |lines: Vec<&str>| {
        fs::write(&copy, lines.concat()).unwrap();
        verify(&copy, &[pin])
    };
    for i in 0..lines.len() {
        let mut removed = lines.clone();
        removed.remove(i);
        match check(removed) {
            // A log cut at its end is a log; the head that is known from elsewhere is not in it.
            Ok(summary) => assert!(i == lines.len() - 1 && !summary.held(&head)),
            Err(error) => assert_eq!(error.code, "AUDIT_BROKEN"),
        }
        for j in 0..=lines.len() {
            let mut inserted = lines.clone();
            inserted.insert(j, lines[i]);
            assert!(check(inserted).is_err(), "line {i} again at {j}");
        }
        for j in 0..i {
            let mut swapped = lines.clone();
            swapped.swap(i, j);
            assert!(check(swapped).is_err(), "lines {i} and {j}");
        }
    }
    assert!(check(lines).unwrap().held(&head));
}

#[test]
fn a_log_that_another_key_signed_is_not_this_sites() {
    let (scratch, _state, pin) = small_log();
    assert!(verify(&scratch.log(), &[pin]).is_ok());
    assert!(verify(&scratch.log(), &[identity().pin()]).unwrap_err().message.contains("does not know"));
}

#[test]
fn a_key_can_be_replaced_between_two_starts() {
    let (scratch, state, old) = small_log();
    drop(state);
    let new = identity();
    begin(&scratch.open(&new).unwrap(), 2).unwrap();
    assert_eq!(verify(&scratch.log(), &[old, new.pin()]).unwrap().keys.len(), 2);
    assert_eq!(verify(&scratch.log(), &[new.pin()]).unwrap_err().code, "AUDIT_BROKEN");
    assert_eq!(verify(&scratch.log(), &[old]).unwrap_err().code, "AUDIT_BROKEN");
}

#[test]
fn heads_that_others_wrote_down_are_found_again() {
    let (scratch, state, pin) = small_log();
    let head = state.head().unwrap();
    begin(&state, 2).unwrap();
    let summary = verify(&scratch.log(), &[pin]).unwrap();
    assert!(summary.held(&head) && summary.held(&Head::EMPTY));
    assert!(!summary.held(&Head { hash: [0; 32], ..head }));
    assert!(!summary.held(&Head { seq: 99, ..head }));
}

#[test]
fn an_export_is_a_log_that_cannot_be_cut() {
    let (_scratch, state, pin) = small_log();
    let mut export = Vec::new();
    state.export(&mut export).unwrap();
    assert_eq!(verify_export(export.as_slice(), &[pin]).unwrap().head, state.head().unwrap());
    let text = String::from_utf8(export).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for i in 0..lines.len() {
        let mut cut = lines.clone();
        cut.remove(i);
        assert_eq!(verify_export(cut.concat().as_bytes(), &[pin]).unwrap_err().code, "AUDIT_BROKEN", "line {i}");
    }
    let seal_begins = text.len() - lines.last().unwrap().len();
    for at in seal_begins..text.len() {
        let mut edited = text.clone().into_bytes();
        edited[at] ^= 1;
        assert!(verify_export(edited.as_slice(), &[pin]).is_err(), "byte {at}");
    }
}

#[test]
fn the_words_of_a_release_can_be_read_from_the_log() {
    let (scratch, _state, pin) = small_log();
    let mut kinds = Vec::new();
    entries(&scratch.log(), &[pin], |entry| {
        if entry.event.release() == Some([1; 16]) {
            kinds.push(entry.event.clone());
        }
    })
    .unwrap();
    assert_eq!(kinds.len(), 4);
    assert!(matches!(&kinds[3], Event::Sent { steps, .. } if steps[0].bytes == 320));
}
