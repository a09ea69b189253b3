//! What of a release is held against earlier ones.

use serde::{Deserialize, Serialize};

use super::{Disclosure, DisclosureId, Kind, Recipient, Revealed, Why};

/// Which figures of a release are compared with earlier ones for a bit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compared {
    /// All of them.
    #[default]
    All,
    /// Those that need no agreed group key, before any is agreed.
    Whole,
    /// The others, when their keys are known.
    Groups,
}

impl Compared {
    pub(super) fn is_all(&self) -> bool {
        matches!(self, Compared::All)
    }
}

impl Disclosure {
    /// That one bit is opened on whether these figures of a release are too near to an earlier one's, or its `own` figures to each other.
    pub fn difference(least: u32, key: &str, of: Compared, own: bool) -> Self {
        let what = Revealed::Difference { least, key: key.to_owned(), of, own };
        Self {
            id: DisclosureId::difference(of),
            kind: Kind::Bit,
            what,
            to: Recipient::Everyone,
            why: Why::Differencing,
        }
    }
}

impl DisclosureId {
    /// Of the check of these figures against earlier releases.
    pub fn difference(of: Compared) -> Self {
        Self(format!("difference/{}", usize::from(of == Compared::Groups)))
    }
}
