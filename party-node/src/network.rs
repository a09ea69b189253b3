//! The network file: who takes part, where, with which keys, with which tables, under which policy. Every site holds the
//! same one; its digest is part of every agreement.

use std::net::SocketAddr;

use mpc_core::identity::Pin;
use mpc_core::party::MAX_SITES;
use query_planner::catalog::SiteName;
use query_planner::merge::{self, SiteSchema};
use query_planner::{Catalog, Settings};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::fault::NodeError;
use crate::linkage::Agreed;

/// Version of the file's form.
pub const NETWORK_VERSION: u16 = 1;

/// The whole file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// [`NETWORK_VERSION`].
    pub version: u16,
    /// Policy and declarations about tables and columns.
    #[serde(default)]
    pub settings: Settings,
    /// The hospitals, in party order.
    pub site: Vec<SiteEntry>,
    /// Who may ask.
    #[serde(default)]
    pub analyst: Vec<AnalystEntry>,
}

/// One hospital. What `init` writes and `enroll` puts together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteEntry {
    /// Its name in SQL.
    pub name: SiteName,
    /// Where its node listens.
    pub address: SocketAddr,
    /// SHA-256 of its public key; two while a key is being replaced.
    pub pins: Vec<Pin>,
    /// Its tables, as types and bounds, never rows.
    pub schema: SiteSchema,
}

/// Somebody who may submit queries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnalystEntry {
    /// For logs.
    pub name: String,
    /// SHA-256 of the public key; two while a key is being replaced.
    pub pins: Vec<Pin>,
}

impl Network {
    /// Reads a network file.
    ///
    /// # Errors
    /// `BAD_NETWORK_FILE` with the place and the rule.
    pub fn from_toml(text: &str) -> Result<Self, NodeError> {
        let network: Network = toml::from_str(text).map_err(|e| bad(e.to_string().trim_end()))?;
        network.checked()
    }

    /// The file's text.
    pub fn to_toml(&self) -> Result<String, NodeError> {
        toml::to_string_pretty(self).map_err(|e| bad(&e.to_string()))
    }

    /// A network that obeys the rules, or what is wrong with it.
    pub fn checked(self) -> Result<Self, NodeError> {
        if self.version != NETWORK_VERSION {
            return Err(bad(&format!("version {} is not {NETWORK_VERSION}", self.version)));
        }
        if !(2..=usize::from(MAX_SITES)).contains(&self.site.len()) {
            let message = format!("the network has {} site(s), and may have 2 to {MAX_SITES}", self.site.len());
            return Err(NodeError::new("BAD_NUMBER_OF_SITES", message));
        }
        for (i, site) in self.site.iter().enumerate() {
            self.check_site(i, site)?;
        }
        Ok(self)
    }

    fn check_site(&self, index: usize, site: &SiteEntry) -> Result<(), NodeError> {
        if !site.name.is_valid() {
            return Err(bad("a site's name is 1 to 63 letters, digits, '_' or '-'"));
        }
        let earlier = &self.site[..index];
        if earlier.iter().any(|other| other.name.same(&site.name)) {
            return Err(NodeError::new("DUPLICATE_SITE", format!("site {} is listed twice", site.name.0)));
        }
        if !(1..=2).contains(&site.pins.len()) {
            return Err(bad(&format!("site {} needs one key pin, or two while it replaces its key", site.name.0)));
        }
        let taken = |pin: &Pin| {
            earlier.iter().any(|other| other.pins.contains(pin)) || self.analyst.iter().any(|a| a.pins.contains(pin))
        };
        if site.pins.iter().any(taken) {
            let message = format!("the key of site {} belongs to somebody else too", site.name.0);
            return Err(NodeError::new("DUPLICATE_KEY", message).hint("each site and analyst has a key of its own"));
        }
        if earlier.iter().any(|other| other.address == site.address) {
            let other = earlier.iter().find(|other| other.address == site.address).map_or("another", |s| &s.name.0);
            let message = format!("sites {other} and {} both listen at {}", site.name.0, site.address);
            return Err(NodeError::new("DUPLICATE_ADDRESS", message));
        }
        Ok(())
    }

    /// The catalogue that follows from the sites' schemas, the settings and the linkage file that they name.
    pub fn catalog(&self, linkage: Option<&Agreed>) -> Result<Catalog, NodeError> {
        let schemas: Vec<_> = self.site.iter().map(|s| (s.name.clone(), s.schema.clone())).collect();
        catalog(&schemas, &self.settings, linkage)
    }

    /// SHA-256 of the network in canonical form; independent of the file's layout.
    pub fn digest(&self) -> [u8; 32] {
        let canonical = serde_json::to_vec(self).expect("a network has string keys only");
        Sha256::new().chain_update(b"consilium network v1\0").chain_update(canonical).finalize().into()
    }

    /// A site's place, which is its party number.
    pub fn position(&self, name: &SiteName) -> Option<usize> {
        self.site.iter().position(|s| s.name.same(name))
    }

    /// The site that owns a key.
    pub fn site_of(&self, pin: Pin) -> Option<usize> {
        self.site.iter().position(|s| s.pins.contains(&pin))
    }

    /// Does this key belong to an analyst?
    pub fn is_analyst(&self, pin: Pin) -> bool {
        self.analyst.iter().any(|a| a.pins.contains(&pin))
    }

    /// Every key that may connect.
    pub fn all_pins(&self) -> impl Iterator<Item = Pin> {
        let sites = self.site.iter().flat_map(|s| s.pins.iter().copied());
        sites.chain(self.analyst.iter().flat_map(|a| a.pins.iter().copied()))
    }
}

/// One catalogue from what sites say, the settings and the linkage file that they name.
pub fn catalog(
    schemas: &[(SiteName, SiteSchema)],
    settings: &Settings,
    linkage: Option<&Agreed>,
) -> Result<Catalog, NodeError> {
    Ok(match linkage {
        Some(linkage) => merge::merge_linked(schemas, settings, linkage.catalogued())?,
        None => merge::merge(schemas, settings)?,
    })
}

fn bad(message: &str) -> NodeError {
    NodeError::new("BAD_NETWORK_FILE", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, port: u16, key: u8) -> SiteEntry {
        SiteEntry {
            name: SiteName(name.into()),
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            pins: vec![Pin([key; 32])],
            schema: SiteSchema::default(),
        }
    }

    fn network(site: Vec<SiteEntry>) -> Result<Network, NodeError> {
        Network { version: 1, settings: Settings::default(), site, analyst: Vec::new() }.checked()
    }

    #[test]
    fn a_network_file_survives_being_written_and_read() {
        let network = network(vec![entry("a", 1, 1), entry("b", 2, 2)]).unwrap();
        let again = Network::from_toml(&network.to_toml().unwrap()).unwrap();
        assert_eq!(network.digest(), again.digest());
    }

    #[test]
    fn each_rule_of_the_file_has_its_own_code() {
        let code = |sites| network(sites).unwrap_err().code;
        assert_eq!(code(vec![entry("a", 1, 1)]), "BAD_NUMBER_OF_SITES");
        assert_eq!(code((0..21).map(|i| entry(&format!("s{i}"), i, i as u8)).collect()), "BAD_NUMBER_OF_SITES");
        assert_eq!(code(vec![entry("a", 1, 1), entry("A", 2, 2)]), "DUPLICATE_SITE");
        assert_eq!(code(vec![entry("a", 1, 1), entry("b", 1, 2)]), "DUPLICATE_ADDRESS");
        assert_eq!(code(vec![entry("a", 1, 1), entry("b", 2, 1)]), "DUPLICATE_KEY");
        assert_eq!(code(vec![entry("a b", 1, 1), entry("b", 2, 1)]), "BAD_NETWORK_FILE");
    }

    #[test]
    fn an_unknown_key_of_the_file_is_an_error() {
        assert_eq!(Network::from_toml("version = 1\nsites = []\n").unwrap_err().code, "BAD_NETWORK_FILE");
    }
}
