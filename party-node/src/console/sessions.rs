//! Who is logged in. In memory alone: a node that starts anew knows nobody.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mpc_core::random::os_bytes;
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::tokens::Holder;
use crate::fault::NodeError;
use crate::state::hex;

/// The open sessions, by the hash of their cookie.
#[derive(Default)]
pub struct Sessions(Mutex<HashMap<[u8; 32], Session>>);

/// A cookie or a CSRF token: 256 random bits in hexadecimal.
pub type Secret = Zeroizing<String>;

/// Somebody who is logged in.
#[derive(Clone)]
pub struct Session {
    /// Whose token it was.
    pub holder: Holder,
    /// What every change must carry.
    pub csrf: Secret,
    began: Instant,
    used: Instant,
}

/// Without a request for so long, a session ends.
const IDLE: Duration = Duration::from_secs(30 * 60);
/// And after so long whatever happens.
const LONGEST: Duration = Duration::from_secs(12 * 60 * 60);
/// Sessions at a time; the one that was used least recently makes room.
const MOST: usize = 64;
/// Of one token: beyond these its own make room, so that nobody logs others out.
const OF_ONE: usize = 8;

impl Sessions {
    /// A new session; its cookie.
    ///
    /// # Errors
    /// `NO_RANDOMNESS`.
    pub fn open(&self, holder: Holder) -> Result<Secret, NodeError> {
        let (cookie, csrf, now) = (secret()?, secret()?, Instant::now());
        let mut all = self.lock();
        all.retain(|_, session| session.is_open(now));
        let is_own = |session: &Session| session.holder.hash == holder.hash;
        while all.values().filter(|session| is_own(session)).count() >= OF_ONE {
            remove_oldest(&mut all, is_own);
        }
        while all.len() >= MOST {
            remove_oldest(&mut all, |_| true);
        }
        all.insert(hash(&cookie), Session { holder, csrf, began: now, used: now });
        Ok(cookie)
    }

    /// The session of a cookie, which is used now.
    pub fn find(&self, cookie: &str) -> Option<Session> {
        let (mut all, now) = (self.lock(), Instant::now());
        let session = all.get_mut(&hash(cookie)).filter(|session| session.is_open(now))?;
        session.used = now;
        Some(session.clone())
    }

    /// Is it open? A look does not use it.
    pub fn is_open(&self, cookie: &str) -> bool {
        self.lock().get(&hash(cookie)).is_some_and(|session| session.is_open(Instant::now()))
    }

    /// Ends a session.
    pub fn close(&self, cookie: &str) {
        self.lock().remove(&hash(cookie));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn is_open(&self, now: Instant) -> bool {
        now.duration_since(self.used) < IDLE && now.duration_since(self.began) < LONGEST
    }
}

fn remove_oldest(all: &mut HashMap<[u8; 32], Session>, of: impl Fn(&Session) -> bool) {
    let these = all.iter().filter(|(_, session)| of(session));
    let oldest = these.min_by_key(|(_, session)| session.used).map(|(hash, _)| *hash);
    oldest.map(|hash| all.remove(&hash));
}

fn hash(cookie: &str) -> [u8; 32] {
    Sha256::digest(cookie).into()
}

fn secret() -> Result<Secret, NodeError> {
    let none = |_| NodeError::new("NO_RANDOMNESS", "the operating system gave no randomness");
    Ok(Zeroizing::new(hex::text(&*Zeroizing::new(os_bytes().map_err(none)?))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(name: &str) -> Holder {
        Holder { hash: hash(name), name: name.into(), roles: vec![], made_ms: 0 }
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_that_is_not_used_ends_and_no_session_outlives_a_day_of_work() {
        let sessions = Sessions::default();
        let cookie = sessions.open(holder("ada")).unwrap();
        tokio::time::advance(IDLE - Duration::from_secs(1)).await;
        // A look alone does not keep it.
        assert!(sessions.is_open(&cookie));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!sessions.is_open(&cookie) && sessions.find(&cookie).is_none());
        let cookie = sessions.open(holder("ada")).unwrap();
        for _ in 0..(LONGEST.as_secs() / (IDLE.as_secs() / 2)) {
            assert!(sessions.find(&cookie).is_some());
            tokio::time::advance(IDLE / 2).await;
        }
        assert!(sessions.find(&cookie).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_bounded_number_of_sessions_is_kept_and_the_least_recently_used_makes_room() {
        let sessions = Sessions::default();
        let mut cookies = Vec::new();
        for at in 0..MOST {
            cookies.push(sessions.open(holder(&at.to_string())).unwrap());
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert!(sessions.find(&cookies[0]).is_some());
        tokio::time::advance(Duration::from_secs(1)).await;
        sessions.open(holder("one more")).unwrap();
        assert!(sessions.is_open(&cookies[0]) && !sessions.is_open(&cookies[1]) && sessions.is_open(&cookies[2]));
        assert_eq!(sessions.lock().len(), MOST);
        // One who logs in again and again logs out nobody but himself.
        let own: Vec<Secret> = (0..MOST).map(|_| sessions.open(holder("eve")).unwrap()).collect();
        assert_eq!(own.iter().filter(|cookie| sessions.is_open(cookie)).count(), OF_ONE);
        assert!(cookies[OF_ONE + 2..].iter().all(|cookie| sessions.is_open(cookie)));
    }

    #[tokio::test]
    async fn cookies_and_csrf_tokens_differ_and_a_closed_session_is_gone() {
        let sessions = Sessions::default();
        let (one, two) = (sessions.open(holder("ada")).unwrap(), sessions.open(holder("ada")).unwrap());
        let csrf = |cookie: &Secret| sessions.find(cookie).unwrap().csrf;
        assert!(*one != *two && csrf(&one) != csrf(&two) && *csrf(&one) != *one);
        sessions.close(&one);
        assert!(sessions.find(&one).is_none() && sessions.find(&two).is_some() && sessions.find("").is_none());
    }
}
