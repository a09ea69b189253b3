//! What accounts take of the node at a time: connections, and work on statements.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::fault::NodeError;
use crate::places::{Full, Place, Places};

/// Statements that are read, planned or answered from the catalogue, of one account.
const WORK_OF_ONE: usize = 2;
/// Of all.
const WORK: usize = 8;
/// Connections of one account, where there are more: a program's pool. Otherwise a quarter of all.
const SEATS_OF_ONE: usize = 16;

/// The places.
#[derive(Debug)]
pub struct Desk {
    seats: Arc<Places<String>>,
    work: Arc<Semaphore>,
    own_work: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// A statement's place, given back when it is dropped.
#[derive(Debug)]
pub struct Turn {
    _permits: [OwnedSemaphorePermit; 2],
}

impl Desk {
    /// For so many connections.
    pub fn new(connections: u32) -> Self {
        let all = connections as usize;
        Self {
            seats: Places::new(all, (all / 4).max(SEATS_OF_ONE).min(all)),
            work: Arc::new(Semaphore::new(WORK)),
            own_work: Mutex::default(),
        }
    }

    /// A place for one more connection of somebody who has logged in.
    ///
    /// # Errors
    /// `TOO_MANY_CONNECTIONS`.
    pub fn sit(&self, account: &str) -> Result<Place<String>, NodeError> {
        self.seats.take(account.to_owned()).map_err(|full| {
            let text = match full {
                Full::One => format!("an account has {} connections at most", self.seats.of_one()),
                Full::All => "as many analysts are connected as [wire] connections allows".to_owned(),
            };
            NodeError::new("TOO_MANY_CONNECTIONS", text)
        })
    }

    /// Waits for a place for work: behind the account's own work first, so that whoever has much to do does not take the places of the others.
    ///
    /// # Errors
    /// `NODE_STOPPED`.
    pub async fn turn(&self, account: &str) -> Result<Turn, NodeError> {
        let closed = |_| NodeError::new("NODE_STOPPED", "the node stops");
        let own = self.own_work(account).acquire_owned().await.map_err(closed)?;
        let all = self.work.clone().acquire_owned().await.map_err(closed)?;
        Ok(Turn { _permits: [own, all] })
    }

    /// Accounts are those of the configuration: few.
    fn own_work(&self, account: &str) -> Arc<Semaphore> {
        let mut all = self.own_work.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(account.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(WORK_OF_ONE))).clone()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn one_account_leaves_places_to_the_others() {
        let desk = Desk::new(40);
        let held: Vec<Place<String>> = (0..SEATS_OF_ONE).map(|_| desk.sit("ines").unwrap()).collect();
        assert_eq!(desk.sit("ines").unwrap_err().code, "TOO_MANY_CONNECTIONS");
        let more: Vec<Place<String>> = (0..SEATS_OF_ONE).map(|_| desk.sit("joao").unwrap()).collect();
        let last: Vec<Place<String>> = (0..8).map(|_| desk.sit("eve").unwrap()).collect();
        assert!(desk.sit("eve").unwrap_err().message.contains("[wire] connections"));
        drop((held, more, last));
        assert!(desk.sit("ines").is_ok() && Desk::new(1).sit("ines").is_ok());
    }

    #[test]
    fn work_of_one_account_waits_behind_its_own() {
        let desk = Desk::new(40);
        let turn = |name: &str| desk.turn(name).now_or_never();
        let held: Vec<_> = (0..WORK_OF_ONE).map(|_| turn("ines").unwrap().unwrap()).collect();
        assert!(turn("ines").is_none() && turn("joao").is_some());
        drop(held);
        assert!(turn("ines").is_some());
    }
}
