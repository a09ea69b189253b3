//! Places of which there are few in all, and fewer for one, so that nobody keeps those of the others.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// The places, and how many each one has.
#[derive(Debug)]
pub struct Places<K> {
    most: usize,
    of_one: usize,
    held: Mutex<HashMap<K, usize>>,
}

/// One of them, given back when it is dropped.
#[derive(Debug)]
pub struct Place<K: Eq + Hash> {
    places: Arc<Places<K>>,
    of: K,
}

/// Why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// This one has as many as one may have.
    One,
    /// All are taken.
    All,
}

impl<K: Eq + Hash + Clone> Places<K> {
    /// So many in all, and so many of one.
    pub fn new(most: usize, of_one: usize) -> Arc<Self> {
        Arc::new(Self { most, of_one, held: Mutex::default() })
    }

    /// How many one may have.
    pub fn of_one(&self) -> usize {
        self.of_one
    }

    /// A place.
    ///
    /// # Errors
    /// Where there is none.
    pub fn take(self: &Arc<Self>, of: K) -> Result<Place<K>, Full> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.get(&of).is_some_and(|own| *own >= self.of_one) {
            return Err(Full::One);
        }
        if held.values().sum::<usize>() >= self.most {
            return Err(Full::All);
        }
        *held.entry(of.clone()).or_default() += 1;
        Ok(Place { places: self.clone(), of })
    }
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut held = self.places.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = held.get_mut(&self.of) {
            *own -= 1;
            if *own == 0 {
                held.remove(&self.of);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_only_some_and_all_have_no_more_than_there_are() {
        let places = Places::new(5, 2);
        let take = |of: &'static str| places.take(of);
        let mut held = vec![take("a").unwrap(), take("a").unwrap(), take("b").unwrap()];
        assert_eq!(take("a").err(), Some(Full::One));
        held.extend([take("c").unwrap(), take("c").unwrap()]);
        assert_eq!(take("b").err(), Some(Full::All));
        held.remove(0);
        held.push(take("a").unwrap());
        drop(held);
        assert!(places.held.lock().unwrap().is_empty(), "every place was given back");
    }
}
