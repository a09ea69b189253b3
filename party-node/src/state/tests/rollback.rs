//! Files put back, cut, mixed and lost.

use std::sync::Mutex;

use redb::{Database, ReadableTable, TableDefinition};

use super::*;

fn refused(scratch: &Scratch, identity: &Identity) -> String {
    scratch.open(identity).unwrap_err().code.into_owned()
}

/// A folder after two releases, and as it was after the first.
fn older_and_newer(identity: &Identity) -> (Scratch, Scratch) {
    let scratch = Scratch::new();
    let state = scratch.open(identity).unwrap();
    begin(&state, 1).unwrap();
    drop(state);
    let older = scratch.copy();
    begin(&scratch.open(identity).unwrap(), 2).unwrap();
    (older, scratch)
}

#[test]
fn an_older_ledger_is_found() {
    let identity = identity();
    let (older, newer) = older_and_newer(&identity);
    fs::copy(older.ledger(), newer.ledger()).unwrap();
    assert_eq!(refused(&newer, &identity), "LEDGER_ROLLED_BACK");
}

#[test]
fn an_older_log_is_found() {
    let identity = identity();
    let (older, newer) = older_and_newer(&identity);
    fs::copy(older.log(), newer.log()).unwrap();
    assert_eq!(refused(&newer, &identity), "LEDGER_ROLLED_BACK");
    fs::remove_file(newer.log()).unwrap();
    assert_eq!(refused(&newer, &identity), "LEDGER_ROLLED_BACK");
}

#[test]
fn a_log_cut_anywhere_is_found_or_completed() {
    let identity = identity();
    let (_, newer) = older_and_newer(&identity);
    let log = fs::read(newer.log()).unwrap();
    let last = log[..log.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    let (mut found, mut completed) = (0, 0);
    for end in (0..log.len()).step_by(7).chain([last - 1, last, last + 1, log.len() - 1]) {
        let copy = newer.copy();
        fs::write(copy.log(), &log[..end]).unwrap();
        if end < last {
            assert_eq!(refused(&copy, &identity), "LEDGER_ROLLED_BACK", "{end} bytes");
            found += 1;
        } else {
            drop(copy.open(&identity).unwrap());
            let again = fs::read(copy.log()).unwrap();
            assert!(again.starts_with(&log), "{end} bytes");
            let repaired = format!(r#""repaired_bytes":{}"#, log.len() - end);
            assert!(String::from_utf8(again[log.len()..].to_vec()).unwrap().contains(&repaired));
            completed += 1;
        }
    }
    println!("{found} cuts before the last change found, {completed} within it completed");
}

#[test]
fn a_tail_that_a_loss_of_power_left_as_zeros_is_completed_and_one_that_somebody_wrote_is_not() {
    let identity = identity();
    let (_, newer) = older_and_newer(&identity);
    let log = fs::read(newer.log()).unwrap();
    let zeroed = newer.copy();
    let mut bytes = log.clone();
    bytes[log.len() - 40..].fill(0);
    fs::write(zeroed.log(), bytes).unwrap();
    drop(zeroed.open(&identity).unwrap());
    assert!(fs::read(zeroed.log()).unwrap().starts_with(&log));
    let mut bytes = log.clone();
    bytes[log.len() - 40] ^= 1;
    fs::write(newer.log(), bytes).unwrap();
    assert_eq!(refused(&newer, &identity), "AUDIT_BROKEN");
}

#[test]
fn an_edited_byte_or_an_added_line_is_found_at_the_next_start() {
    let identity = identity();
    let (_, newer) = older_and_newer(&identity);
    let log = fs::read(newer.log()).unwrap();
    for at in (0..log.len()).step_by(97) {
        let copy = newer.copy();
        let mut edited = log.clone();
        edited[at] ^= 1;
        fs::write(copy.log(), edited).unwrap();
        assert_eq!(refused(&copy, &identity), "AUDIT_BROKEN", "byte {at}");
    }
    let copy = newer.copy();
    fs::write(copy.log(), [log, b"{}\n".to_vec()].concat()).unwrap();
    assert_eq!(refused(&copy, &identity), "LEDGER_ROLLED_BACK");
}

/// Rewrites rows of a ledger as somebody could who has the file and not the key.
fn rewrite(path: &Path, table: &str, edit: impl Fn(&mut redb::Table<&'static [u8], &'static [u8]>)) {
    let database = Database::open(path).unwrap();
    let transaction = database.begin_write().unwrap();
    edit(&mut transaction.open_table(TableDefinition::new(table)).unwrap());
    transaction.commit().unwrap();
}

#[test]
fn a_row_put_back_removed_or_copied_is_found() {
    let (scratch, identity) = (Scratch::new(), identity());
    let state = scratch.open(&identity).unwrap();
    state.reserve(&STUDY, &of_epsilon(1, 9, None)).unwrap();
    begin(&state, 1).unwrap();
    drop(state);
    let key = [b"epsilon ", STUDY.as_slice()].concat();
    let old = Mutex::new(Vec::new());
    rewrite(&scratch.ledger(), "counters", |rows| {
        *old.lock().unwrap() = rows.get(key.as_slice()).unwrap().unwrap().value().to_vec();
    });
    let old = old.into_inner().unwrap();
    let state = scratch.open(&identity).unwrap();
    state.reserve(&STUDY, &of_epsilon(8, 9, None)).unwrap();
    drop(state);
    for edit in 0..3 {
        let copy = scratch.copy();
        match edit {
            0 => rewrite(&copy.ledger(), "counters", |rows| drop(rows.insert(key.as_slice(), old.as_slice()).unwrap())),
            1 => rewrite(&copy.ledger(), "releases", |rows| rows.retain(|_, _| false).unwrap()),
            _ => rewrite(&copy.ledger(), "answers", |rows| drop(rows.insert(key.as_slice(), old.as_slice()).unwrap())),
        }
        assert_eq!(refused(&copy, &identity), "LEDGER_ROLLED_BACK", "edit {edit}");
    }
    drop(scratch.open(&identity).unwrap());
}

#[test]
fn what_is_lost_is_missed() {
    let (scratch, identity) = (Scratch::new(), identity());
    begin(&scratch.open(&identity).unwrap(), 1).unwrap();
    let without = |path: fn(&Scratch) -> PathBuf| {
        let copy = scratch.copy();
        fs::remove_file(path(&copy)).unwrap();
        refused(&copy, &identity)
    };
    assert_eq!(without(Scratch::key), "NO_STATE_KEY");
    assert_eq!(without(Scratch::ledger), "LEDGER_ROLLED_BACK");
    let empty = scratch.copy();
    fs::write(empty.ledger(), []).unwrap();
    assert_eq!(refused(&empty, &identity), "LEDGER_ROLLED_BACK");
    let folder = scratch.copy();
    fs::remove_dir_all(folder.folder()).unwrap();
    assert_eq!(refused(&folder, &identity), "LEDGER_ROLLED_BACK");
    let other = scratch.copy();
    fs::write(other.key(), [1; 32]).unwrap();
    assert_eq!(refused(&other, &identity), "LEDGER_DAMAGED");
}
