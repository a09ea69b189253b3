//! The table with identifiers: its keys, and what is left of its columns.

use mpc_core::Block;
use query_planner::catalog::{Catalog, Column, SiteName, Table};

use super::{BoundData, SiteData};
use crate::fault::{NodeError, printable};
use crate::linkage::{self, Agreed, Keyed, Linked};
use crate::local::patients::{own_key, unlinked_key};

impl SiteData {
    /// The linkage keys of every row of the table with identifiers; none at a site without patients.
    ///
    /// # Errors
    /// `LINKAGE_TABLE`, and as [`SiteData::texts`].
    pub(super) fn keyed(
        &self,
        catalog: &Catalog,
        site: &SiteName,
        agreed: &Agreed,
    ) -> Result<Option<Keyed>, NodeError> {
        let has_key = |table: &Table| table.columns.iter().any(|column| catalog.is_patient_key(&column.name));
        let mut held = catalog.tables.iter().filter(|table| table.held_by(site));
        if !held.clone().any(has_key) {
            return Ok(None);
        }
        if !held.any(|table| table.name.eq_ignore_ascii_case(&agreed.table) && has_key(table)) {
            let (site, table, key) = (printable(&site.0), printable(&agreed.table), printable(&catalog.patient_key));
            let message = format!("site {site} has patients, but no table {table} with their identifiers and {key}");
            return Err(NodeError::new("LINKAGE_TABLE", message).hint("see [linkage] in network.toml"));
        }
        let columns = agreed.schema.columns();
        linkage::keys(&agreed.schema, &self.texts(&agreed.table, &columns)?).map(Some)
    }
}

impl BoundData {
    /// Whose keys these are.
    ///
    /// # Errors
    /// `LINKAGE_DUPLICATES`, `LINKAGE_FURTHER_KEYS`.
    pub(super) fn link(&self, keyed: &Keyed, catalog: &Catalog, site: &SiteName) -> Result<Linked, NodeError> {
        let name = catalog.linkage.as_ref().map_or("", |linkage| &linkage.table);
        let table = self.table(name).expect("keys are made of a table that is bound");
        let key = table.schema().fields().iter().position(|field| catalog.is_patient_key(field.name()));
        let key = key.expect("keys are made of a table that has the patient key");
        let mut own: Vec<Option<Block>> = Vec::with_capacity(table.rows());
        for batch in table.batches() {
            for row in 0..batch.num_rows() {
                own.push(own_key(&self.study(), site, batch.column(key), row)?);
            }
        }
        Linked::new(keyed, own)
    }
}

/// How a patient is found by matching.
pub struct Known {
    /// The first key in each pass.
    pub keys: Vec<Option<Block>>,
    /// Further ones, with their passes.
    pub further: Vec<(usize, Block)>,
}

impl BoundData {
    /// How a patient with this hash of the site's own key is found now; none where nobody is linked, or the table does not have it.
    pub fn known_by(&self, site: &SiteName, own: Block) -> Option<Known> {
        let linked = self.linked()?;
        let Some(entry) = linked.entry(own) else {
            let key = unlinked_key(&self.study(), site, own);
            return linked.has(own).then(|| Known { keys: vec![Some(key)], further: Vec::new() });
        };
        let further = linked.further().iter().filter(|key| key.patient == entry);
        Some(Known { keys: linked.keys(entry).to_vec(), further: further.map(|key| (key.pass, key.key)).collect() })
    }
}

/// Is it the linkage of the catalogue?
///
/// # Errors
/// `LINKAGE_DIFFERS`.
pub(super) fn check_agreed(catalog: &Catalog, agreed: Option<&Agreed>) -> Result<(), NodeError> {
    if catalog.linkage == agreed.map(Agreed::catalogued) {
        return Ok(());
    }
    Err(NodeError::new("LINKAGE_DIFFERS", "the linkage file is not the one of the catalogue"))
}

/// Does this column identify, and may no question use it?
pub(super) fn is_dropped(catalog: &Catalog, table: &Table, column: &Column) -> bool {
    let Some(linkage) = &catalog.linkage else { return false };
    let identifies = linkage.columns.iter().any(|name| name.eq_ignore_ascii_case(&column.name));
    identifies
        && linkage.table.eq_ignore_ascii_case(&table.name)
        && !column.allowed
        && !catalog.is_patient_key(&column.name)
}
