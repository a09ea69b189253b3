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

use crate::fault::{NodeError, printable};
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
    /// Who dials whom.
    #[serde(default, skip_serializing_if = "Reach::is_both")]
    pub reach: Reach,
}

/// Whether other sites can reach a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reach {
    /// They dial it and it dials them.
    #[default]
    Both,
    /// Other sites cannot dial it: it dials them, and keeps connections open by which their accounts ask it. An analyst who asks from elsewhere must
    /// still reach it.
    Out,
}

impl Reach {
    fn is_both(&self) -> bool {
        *self == Reach::Both
    }
}

/// Somebody who may submit queries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnalystEntry {
    /// For logs.
    pub name: String,
    /// The site whose node keeps the key and asks for the analyst, if one does: that node sees the answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<SiteName>,
    /// SHA-256 of the public key; two while a key is being replaced.
    pub pins: Vec<Pin>,
}

impl AnalystEntry {
    /// What a steward should know of who sees the analyst's answers besides: a paragraph for the plan's text, or nothing.
    pub fn seen_through(&self) -> String {
        self.at.as_ref().map_or_else(String::new, |at| {
            format!("Analyst\n  {} asks through the node of {at}, which sees the answer\n", printable(&self.name))
        })
    }
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
        let mut out = self.site.iter().filter(|site| site.reach == Reach::Out);
        if let (Some(one), Some(other)) = (out.next(), out.next()) {
            let message =
                format!("sites {} and {} both say reach = \"out\": neither could dial the other", one.name, other.name);
            return Err(NodeError::new("NEITHER_REACHES", message)
                .hint("open the UDP port of one of them, and take `reach` out of its configuration"));
        }
        if let Some(analyst) = self.analyst.iter().find(|a| a.at.as_ref().is_some_and(|at| self.position(at).is_none()))
        {
            return Err(bad(&format!(
                "analyst {} asks at a site that is not in the network",
                printable(&analyst.name)
            )));
        }
        self.check_analysts()?;
        Ok(self)
    }

    /// Rights and kept answers go by an analyst's name, and a name by a key: neither is anybody else's.
    fn check_analysts(&self) -> Result<(), NodeError> {
        for (index, analyst) in self.analyst.iter().enumerate() {
            let (earlier, shown) = (&self.analyst[..index], printable(&analyst.name));
            let alike = |other: &&AnalystEntry| printable(&other.name).to_lowercase() == shown.to_lowercase();
            if earlier.iter().any(|other| alike(&other)) {
                return Err(NodeError::new("DUPLICATE_ANALYST", format!("analyst {shown} is listed twice"))
                    .hint("give one of them another name, or leave the entry out that is out of date"));
            }
            if analyst.pins.iter().any(|pin| earlier.iter().any(|other| other.pins.contains(pin))) {
                let message = format!("the key of analyst {shown} belongs to somebody else too");
                return Err(NodeError::new("DUPLICATE_KEY", message).hint("each site and analyst has a key of its own"));
            }
        }
        Ok(())
    }

    /// Does the first of two sites dial the other? The later one does; where one of them cannot be dialled, that one does.
    pub fn dials(&self, from: usize, to: usize) -> bool {
        match (self.site[from].reach, self.site[to].reach) {
            (Reach::Out, _) => true,
            (_, Reach::Out) => false,
            _ => from > to,
        }
    }

    /// What a steward should know of who sees the answers of the analyst with this key besides: a paragraph for the plan's text, or
    /// nothing.
    pub fn seen_through(&self, pin: Pin) -> String {
        self.analyst_of(pin).map_or_else(String::new, AnalystEntry::seen_through)
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

    /// SHA-256 of the tables alone that the sites have.
    pub fn schema_digest(&self) -> [u8; 32] {
        let schemas: Vec<_> = self.site.iter().map(|site| (&site.name, &site.schema)).collect();
        let canonical = serde_json::to_vec(&schemas).expect("a schema has string keys only");
        Sha256::new().chain_update(b"consilium schemas v1\0").chain_update(canonical).finalize().into()
    }

    /// A site's place, which is its party number.
    pub fn position(&self, name: &SiteName) -> Option<usize> {
        self.site.iter().position(|s| s.name.same(name))
    }

    /// The site that owns a key.
    pub fn site_of(&self, pin: Pin) -> Option<usize> {
        self.site.iter().position(|s| s.pins.contains(&pin))
    }

    /// The analyst who owns a key.
    pub fn analyst_of(&self, pin: Pin) -> Option<&AnalystEntry> {
        self.analyst.iter().find(|analyst| analyst.pins.contains(&pin))
    }

    /// Does this key belong to an analyst?
    pub fn is_analyst(&self, pin: Pin) -> bool {
        self.analyst_of(pin).is_some()
    }

    /// The keys of the analyst of this name.
    pub fn pins_of(&self, analyst: &str) -> Vec<Pin> {
        let entry = self.analyst.iter().find(|entry| entry.name == analyst);
        entry.map(|entry| entry.pins.clone()).unwrap_or_default()
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
            reach: Reach::Both,
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
    fn one_side_of_each_pair_can_dial_the_other() {
        let out = |name, port, key| SiteEntry { reach: Reach::Out, ..entry(name, port, key) };
        let network = |site| network(site);
        assert_eq!(network(vec![out("a", 1, 1), out("b", 2, 2)]).unwrap_err().code, "NEITHER_REACHES");
        let one = network(vec![out("a", 1, 1), entry("b", 2, 2), entry("c", 3, 3)]).unwrap();
        let dials = |from: usize| (0..3).filter(|to| *to != from && one.dials(from, *to)).collect::<Vec<_>>();
        assert_eq!([dials(0), dials(1), dials(2)], [vec![1, 2], vec![], vec![1]]);
        let same = Network::from_toml(&one.to_toml().unwrap()).unwrap();
        assert_eq!(same.site[0].reach, Reach::Out);
    }

    #[test]
    fn a_file_without_reach_and_homes_of_analysts_has_the_digest_that_it_had() {
        let known = network(vec![entry("a", 1, 1), entry("b", 2, 2)]).unwrap();
        let text = known.to_toml().unwrap();
        assert!(!text.contains("reach") && !text.contains("at ="), "{text}");
        let mut other = known.clone();
        other.analyst = vec![AnalystEntry { name: "ana".into(), at: Some(SiteName("z".into())), pins: vec![] }];
        assert_eq!(other.clone().checked().unwrap_err().code, "BAD_NETWORK_FILE");
        other.analyst[0].at = Some(SiteName("b".into()));
        other.analyst[0].pins = vec![Pin([9; 32])];
        assert_eq!(other.seen_through(Pin([8; 32])), "");
        assert!(other.checked().unwrap().seen_through(Pin([9; 32])).contains("the node of b, which sees the answer"));
        assert_eq!(known.seen_through(Pin([9; 32])), "");
    }

    #[test]
    fn no_two_analysts_have_one_name_or_one_key() {
        let known = network(vec![entry("a", 1, 1), entry("b", 2, 2)]).unwrap();
        let analyst = |name: &str, pins: &[u8]| {
            let pins = pins.iter().map(|pin| Pin([*pin; 32])).collect();
            AnalystEntry { name: name.into(), at: None, pins }
        };
        let code = |second| {
            let analyst = vec![analyst("li", &[7, 8]), second];
            Network { analyst, ..known.clone() }
                .checked()
                .map_or_else(|error| error.code.into_owned(), |_| String::new())
        };
        assert_eq!(code(analyst("li", &[9])), "DUPLICATE_ANALYST");
        assert_eq!(code(analyst("Li", &[9])), "DUPLICATE_ANALYST");
        assert_eq!(code(analyst("mo", &[9, 8])), "DUPLICATE_KEY");
        assert_eq!(code(analyst("mo", &[2])), "DUPLICATE_KEY", "a site's");
        assert_eq!(code(analyst("mo", &[9])), "");
    }

    #[test]
    fn an_unknown_key_of_the_file_is_an_error() {
        assert_eq!(Network::from_toml("version = 1\nsites = []\n").unwrap_err().code, "BAD_NETWORK_FILE");
    }
}
