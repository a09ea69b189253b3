//! The linkage file of a network: where it is, and what the catalogue says about it.

use std::path::Path;

use query_planner::Settings;
use query_planner::linkage::Linkage;

use super::{Schema, command, hex};
use crate::fault::NodeError;

/// A network's linkage file, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreed {
    /// What it says.
    pub schema: Schema,
    /// The table with identifiers.
    pub table: String,
}

impl Agreed {
    /// Reads the file that the settings name, from the folder of the network file; none if they name none.
    ///
    /// # Errors
    /// `NO_SUCH_FILE`, `BAD_LINKAGE`.
    pub fn read(settings: &Settings, folder: &Path) -> Result<Option<Self>, NodeError> {
        let Some(linkage) = &settings.linkage else { return Ok(None) };
        let schema = command::load(&folder.join(&linkage.file))?;
        Ok(Some(Self { schema, table: linkage.table.clone() }))
    }

    /// [`Agreed::read`] beside this file.
    ///
    /// # Errors
    /// As there.
    pub fn read_beside(settings: &Settings, file: &Path) -> Result<Option<Self>, NodeError> {
        Self::read(settings, file.parent().unwrap_or(Path::new(".")))
    }

    /// What the catalogue says about it.
    pub fn catalogued(&self) -> Linkage {
        Linkage {
            digest: hex(&self.schema.digest()),
            table: self.table.clone(),
            columns: self.schema.columns().into_iter().map(str::to_owned).collect(),
            passes: self.schema.passes.len() as u32,
            further_keys: self.schema.further_keys,
        }
    }
}
