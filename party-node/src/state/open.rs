//! Opening the folder: key, ledger and log, in this order, each held against the one before.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use mpc_core::identity::Identity;
use zeroize::Zeroizing;

use super::audit::{Event, LogFile, Tail, rolled_back};
use super::beside::Beside;
use super::moment::{Hook, Moment};
use super::store::{self, Store, Table};
use super::vault::{KEY_BYTES, Vault, fresh};
use super::{State, Top, Writer};
use crate::config::missing;
use crate::fault::NodeError;
use crate::secret_file::{self, owned};

/// The files of a state.
struct Files<'a> {
    folder: &'a Path,
    ledger: PathBuf,
    log: PathBuf,
    key: &'a Path,
    /// The key's name before the first start is complete.
    new_key: PathBuf,
}

impl State {
    /// As [`State::open`]; the hook is called at the moments between durable writes.
    pub fn open_with(folder: &Path, key_path: &Path, identity: &Identity, hook: Hook) -> Result<Self, NodeError> {
        let files = Files::of(folder, key_path);
        make_folder(folder)?;
        let lock = files.lock()?;
        let first = !exists(files.key)?;
        let key = if first { files.first_key(&hook)? } else { secret_file::read(files.key)? };
        let state = files.open(&key, identity, hook, lock, first)?;
        if first {
            state.hook.at(Moment::BeforeKeyNamed);
            fs::rename(&files.new_key, files.key).map_err(|e| missing(files.key, &e))?;
            sync_folder(files.key.parent())?;
        }
        Ok(state)
    }
}

impl<'a> Files<'a> {
    fn of(folder: &'a Path, key: &'a Path) -> Self {
        let mut new_key = key.as_os_str().to_owned();
        new_key.push(".new");
        let (ledger, log) = (folder.join("ledger.redb"), folder.join("audit.log"));
        Self { folder, ledger, log, key, new_key: new_key.into() }
    }

    fn lock(&self) -> Result<File, NodeError> {
        let path = self.folder.join("lock");
        let file = owned(OpenOptions::new().write(true).create(true)).open(&path).map_err(|e| missing(&path, &e))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => {
                Err(NodeError::new("STATE_IN_USE", format!("another process has {}", self.folder.display())))
            }
            Err(TryLockError::Error(error)) => Err(missing(&path, &error)),
        }
    }

    /// A key for a folder without one.
    fn first_key(&self, hook: &Hook) -> Result<Zeroizing<Vec<u8>>, NodeError> {
        if exists(&self.new_key)? {
            // A first start was interrupted: what it left was never used.
            for path in [&self.ledger, &self.log, &self.new_key] {
                remove(path)?;
            }
        } else if exists(&self.ledger)? || exists(&self.log)? {
            let message = format!("{} is missing, and {} holds a state", self.key.display(), self.folder.display());
            return Err(NodeError::new("NO_STATE_KEY", message).hint("restore the key; without it the ledger is lost"));
        }
        make_folder(self.key.parent().unwrap_or(Path::new(".")))?;
        let bytes = Zeroizing::new(fresh::<KEY_BYTES>()?);
        secret_file::create(&self.new_key, bytes.as_slice())?;
        sync_folder(self.key.parent())?;
        hook.at(Moment::KeyMade);
        Ok(Zeroizing::new(bytes.to_vec()))
    }

    fn open(&self, key: &[u8], identity: &Identity, hook: Hook, lock: File, first: bool) -> Result<State, NodeError> {
        if first {
            owned(OpenOptions::new().write(true).create_new(true))
                .open(&self.ledger)
                .map_err(|e| missing(&self.ledger, &e))?;
        } else if !exists(&self.ledger)? {
            return Err(rolled_back("the state key is there and the ledger is not"));
        }
        let (vault, store) = (Vault::new(key)?, Store::open(&self.ledger)?);
        let beside = Beside::new(self.folder.join(super::beside::FILE), Vault::beside(key)?);
        hook.at(Moment::LedgerMade);
        let top = known_top(&store, &vault, first)?;
        let mut log = LogFile::open(&self.log)?;
        sync_folder(Some(self.folder))?;
        let repaired_bytes = log.reconcile(&top.tail)?;
        let identity = Identity::from_pkcs8(identity.pkcs8().to_vec())
            .map_err(|e| NodeError::new("BAD_KEY_FILE", e.to_string()))?;
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let started = Event::Started { key: identity.public_key(), version, repaired_bytes };
        let writer = Mutex::new(Writer { top, log, broken: false });
        let state = State {
            log_path: self.log.clone(),
            identity,
            vault,
            store,
            beside,
            closing: Mutex::default(),
            writer,
            hook,
            lock,
        };
        state.log(started)?;
        Ok(state)
    }
}

/// The head that the ledger has, if its rows are those that it sums up.
fn known_top(store: &Store, vault: &Vault, first: bool) -> Result<Top, NodeError> {
    let view = store.view(vault)?;
    let Some(bytes) = view.head()? else {
        let empty = Top { epoch: 0, sealed: 0, sum: [0; 32], tail: Tail::empty() };
        return if first { Ok(empty) } else { Err(rolled_back("the state key is there and the ledger is empty")) };
    };
    let top: Top = store::from_bytes(Table::Head, &bytes)?;
    if view.sum()? != top.sum {
        return Err(rolled_back("rows of the ledger were changed, removed or put back"));
    }
    Ok(top)
}

fn make_folder(folder: &Path) -> Result<(), NodeError> {
    if folder.as_os_str().is_empty() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|e| missing(folder, &e))
}

fn exists(path: &Path) -> Result<bool, NodeError> {
    path.try_exists().map_err(|e| missing(path, &e))
}

fn remove(path: &Path) -> Result<(), NodeError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(missing(path, &error)),
        _ => Ok(()),
    }
}

/// Makes new names durable. Where folders cannot be opened as files, the system does it by itself.
fn sync_folder(folder: Option<&Path>) -> Result<(), NodeError> {
    let folder = folder.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if cfg!(unix) {
        File::open(folder).and_then(|file| file.sync_all()).map_err(|e| missing(folder, &e))?;
    }
    Ok(())
}
