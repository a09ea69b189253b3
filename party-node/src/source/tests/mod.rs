//! Claims about reading a site's folder.

mod bad_input;
mod good_input;
mod parquet_files;
mod texts;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use query_planner::catalog::{Catalog, Column, ColumnType, Policy, SiteName, Table};

use super::{BoundData, SiteData};
use crate::fault::NodeError;

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("consilium-source-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).expect("a new folder can be made");
        Self(path)
    }

    /// A folder with one file.
    fn with(name: &str, content: impl AsRef<[u8]>) -> Self {
        let folder = Self::new();
        folder.write(name, content);
        folder
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.0.join(name), content).expect("the folder can be written");
    }

    fn path(&self) -> &Path {
        &self.0
    }

    fn open(&self) -> Result<SiteData, NodeError> {
        SiteData::open(&self.0)
    }

    /// Opens and binds table `t` with these columns.
    fn bind(&self, columns: Vec<Column>) -> Result<BoundData, NodeError> {
        self.open()?.bind(&catalog(columns), &site())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn site() -> SiteName {
    SiteName("A".into())
}

fn catalog(columns: Vec<Column>) -> Catalog {
    let table =
        Table { name: "T".into(), columns, max_rows: 1024, rows_per_patient: None, sites: vec![SiteName("a".into())] };
    let policy = Policy {
        min_sites: 2,
        min_patients: 1,
        zero_allowed: false,
        flag_extreme_shares: true,
        max_groups: 100,
        link: Default::default(),
        released_tables: Default::default(),
    };
    Catalog {
        sites: vec![site()],
        patient_key: "person_id".into(),
        max_patients: 1024,
        max_events: 32,
        linkage: None,
        tables: vec![table],
        policy,
        policies: Default::default(),
    }
}

fn column(name: &str, data_type: ColumnType) -> Column {
    let name = name.to_owned();
    Column {
        name,
        data_type,
        domain: None,
        range: None,
        clamp: None,
        agree_keys: true,
        quasi_identifier: false,
        allowed: true,
    }
}
