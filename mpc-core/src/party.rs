//! Who computes: sites are parties 0 to N−1; an analyst who owns no data is party N.

use std::fmt;

/// Most sites in one session.
pub const MAX_SITES: u8 = 20;

/// A computing role in one session, 0-based.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct PartyId(pub u8);

impl PartyId {
    /// The position as an index.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for PartyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "party {}", self.0)
    }
}

impl fmt::Debug for PartyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "P{}", self.0)
    }
}

/// The parties of one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parties {
    sites: u8,
    analyst: bool,
}

impl Parties {
    /// `sites` computing parties and no separate analyst. None outside 1 to [`MAX_SITES`].
    pub fn sites_only(sites: usize) -> Option<Self> {
        let sites = u8::try_from(sites).ok().filter(|n| (1..=MAX_SITES).contains(n))?;
        Some(Self { sites, analyst: false })
    }

    /// The same sites and, after them, an analyst who owns no data.
    pub fn with_analyst(self) -> Self {
        Self { analyst: true, ..self }
    }

    /// How many sites compute.
    pub fn site_count(self) -> usize {
        usize::from(self.sites)
    }

    /// Sites and analyst together.
    pub fn count(self) -> usize {
        self.site_count() + usize::from(self.analyst)
    }

    /// The computing sites in order.
    pub fn sites(self) -> impl Iterator<Item = PartyId> {
        (0..self.sites).map(PartyId)
    }

    /// Everybody in order.
    pub fn all(self) -> impl Iterator<Item = PartyId> {
        (0..self.sites + u8::from(self.analyst)).map(PartyId)
    }

    /// The analyst, if there is one.
    pub fn analyst(self) -> Option<PartyId> {
        self.analyst.then_some(PartyId(self.sites))
    }

    /// Is this party a site (not the analyst)?
    pub fn is_site(self, party: PartyId) -> bool {
        party.0 < self.sites
    }
}
