//! Connections that have not logged in yet: few in all, and few from one address, so that nobody keeps the places of the others.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// In all.
const MOST: usize = 256;
/// From one address.
const FROM_ONE: usize = 32;

/// Who is logging in, by address.
#[derive(Debug, Default)]
pub struct Arrivals(Mutex<HashMap<IpAddr, usize>>);

/// The place of one of them, given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    arrivals: Arc<Arrivals>,
    from: IpAddr,
}

impl Arrivals {
    /// A place for somebody who comes from this address, if there is one.
    pub fn take(self: &Arc<Self>, from: IpAddr) -> Option<Place> {
        let from = owner(from);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.values().sum::<usize>() >= MOST || all.get(&from).is_some_and(|here| *here >= FROM_ONE) {
            return None;
        }
        *all.entry(from).or_default() += 1;
        Some(Place { arrivals: self.clone(), from })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.arrivals.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(here) = all.get_mut(&self.from) {
            *here -= 1;
            if *here == 0 {
                all.remove(&self.from);
            }
        }
    }
}

/// Whoever has an IPv6 address has the 2^64 beside it.
fn owner(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_does_not_keep_the_places_of_others() {
        let arrivals = Arc::new(Arrivals::default());
        let take = |from: &str| arrivals.take(from.parse().unwrap());
        let mut one: Vec<Place> = (0..FROM_ONE).map(|_| take("192.0.2.1").unwrap()).collect();
        assert!(take("192.0.2.1").is_none() && take("::ffff:192.0.2.1").is_none());
        assert!(take("192.0.2.2").is_some() && take("2001:db8::1").is_some());
        one.pop();
        one.push(take("192.0.2.1").unwrap());
        // Addresses of one network are one.
        let many: Vec<Option<Place>> = (0..FROM_ONE + 1).map(|at| take(&format!("2001:db8::{at:x}"))).collect();
        assert_eq!(many.iter().flatten().count(), FROM_ONE);
        drop((one, many));
        assert!(arrivals.0.lock().unwrap().is_empty(), "every place was given back");
    }

    #[test]
    fn all_addresses_together_have_a_bound() {
        let arrivals = Arc::new(Arrivals::default());
        let take = |at: usize| arrivals.take(IpAddr::from([10, 0, (at >> 8) as u8, at as u8]));
        let held: Vec<Option<Place>> = (0..MOST + 10).map(take).collect();
        assert_eq!(held.iter().flatten().count(), MOST);
    }
}
