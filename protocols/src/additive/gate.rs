//! What an engine has computed and may not open yet.
//!
//! An engine with a gate does everything but reveal: what it opens on the way is masked, and looks the same whatever the data are.
//! So a program may run beside the decision whether its answer may come out, and waits for it at its first reveal.

use std::future::poll_fn;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// Whoever holds it decides whether the engine may reveal anything. Dropped, it stays shut for good.
#[derive(Debug)]
pub struct Gate(Arc<Mutex<State>>);

/// The engine's side of a gate, and its forks'.
#[derive(Debug, Clone)]
pub(super) struct Hold(Arc<Mutex<State>>);

#[derive(Debug)]
enum State {
    Undecided(Vec<Waker>),
    Open,
    Shut,
}

impl Gate {
    pub(super) fn new() -> (Self, Hold) {
        let state = Arc::new(Mutex::new(State::Undecided(Vec::new())));
        (Self(state.clone()), Hold(state))
    }

    /// What the engine reveals may come out from now on.
    pub fn open(self) {
        decide(&self.0, State::Open);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        decide(&self.0, State::Shut);
    }
}

impl Hold {
    /// Waits for the decision. May it be opened?
    pub(super) async fn is_open(&self) -> bool {
        poll_fn(|context| match &mut *lock(&self.0) {
            State::Undecided(waiting) => {
                waiting.push(context.waker().clone());
                Poll::Pending
            }
            State::Open => Poll::Ready(true),
            State::Shut => Poll::Ready(false),
        })
        .await
    }
}

/// The first decision stands.
fn decide(state: &Mutex<State>, decision: State) {
    let mut state = lock(state);
    if let State::Undecided(waiting) = &mut *state {
        mem::take(waiting).into_iter().for_each(Waker::wake);
        *state = decision;
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
