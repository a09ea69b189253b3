//! A site's folder, used, broken and killed.

mod audit;
mod crash;
mod first_use;
mod ledger;
mod rollback;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use mpc_core::identity::Identity;

use super::State;
use super::ledger::{Progress, Release, Terms};
use super::limits::{Part, Spend};
use super::moment::Hook;
use crate::fault::NodeError;
use crate::govern::meeting::{Earlier, Extent};
use crate::govern::sets::{Person, Sets};

/// A folder that is gone when the test is.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("consilium-state-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn folder(&self) -> PathBuf {
        self.0.join("state")
    }

    fn key(&self) -> PathBuf {
        self.0.join("keys").join("state.key")
    }

    fn log(&self) -> PathBuf {
        self.folder().join("audit.log")
    }

    fn ledger(&self) -> PathBuf {
        self.folder().join("ledger.redb")
    }

    fn open(&self, identity: &Identity) -> Result<State, NodeError> {
        State::open(&self.folder(), &self.key(), identity)
    }

    fn open_with(&self, identity: &Identity, hook: Hook) -> Result<State, NodeError> {
        State::open_with(&self.folder(), &self.key(), identity, hook)
    }

    /// What a kill at this moment would leave: files as the system has them, without what the process still holds.
    fn copy(&self) -> Self {
        let copy = Self::new();
        copy_all(&self.0, &copy.0);
        copy
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn identity() -> Identity {
    Identity::generate().unwrap()
}

const STUDY: [u8; 32] = [7; 32];
const TEXT: &str = "SELECT COUNT(*) FROM person WHERE planted_word = 'Ravensburg'";
/// A patient that must not be found on the disk.
const PATIENT: [u8; 16] = *b"planted patient!";

fn release(number: u8) -> Release {
    Release {
        id: [number; 16],
        study: STUDY,
        plan: [number / 2; 32],
        disclosure: [9; 32],
        text: TEXT.to_owned(),
        sites: vec!["a".into(), "b".into()],
        analyst: "ada".into(),
        at_ms: 1000 + u64::from(number),
        snapshot: [3; 32],
        unhidden: false,
        progress: Progress::Begun,
    }
}

/// Two figures: one over two patients, one over nobody.
fn sets(number: u8) -> Sets {
    let people = vec![Person::of(vec![Some(PATIENT)]), Person::of(vec![Some([number; 16]), None])];
    Sets::said([0; 32], people, vec![vec![0, 1], vec![]])
}

/// What a site noted of a release.
fn noted(state: &State, number: u8) -> Sets {
    noted_of(state, number, Extent::All)
}

fn noted_of(state: &State, number: u8, of: Extent) -> Sets {
    state.noted(&[Earlier { id: [number; 16], of, sets: 2, busy_ms: 0, everyone: false }]).unwrap().remove(0)
}

fn terms(state: &State) -> Terms {
    Terms { after: state.standing(&STUDY).unwrap(), releases: None, refusals: None, privacy: None }
}

fn begin(state: &State, number: u8) -> Result<(), NodeError> {
    state.begin(&release(number), &terms(state))
}

/// A part of ε alone.
fn of_epsilon(takes: u64, limit: u64, in_all: Option<u64>) -> Spend {
    Spend { epsilon: Part { takes, limit, in_all }, delta: Part { takes: 0, limit: 0, in_all: None } }
}
