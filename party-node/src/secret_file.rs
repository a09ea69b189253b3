//! Files that only their owner may read: private keys and the key of the state folder.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use zeroize::Zeroizing;

use crate::config::missing;
use crate::fault::NodeError;

/// No secret file of ours is longer.
const MAX_BYTES: u64 = 1 << 16;

/// Makes a file with mode 0600, durably.
///
/// # Errors
/// `WOULD_OVERWRITE` when there is one, `FILE_FAILED`.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> Result<(), NodeError> {
    let mut file = owned(OpenOptions::new().write(true).create_new(true)).open(path).map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => NodeError::new("WOULD_OVERWRITE", format!("{} exists", path.display())),
        _ => missing(path, &e),
    })?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|e| missing(path, &e))
}

/// What the file holds; wiped when dropped.
///
/// # Errors
/// `KEY_FILE_OPEN` when others may read it, `NO_SUCH_FILE`, `FILE_FAILED`.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, NodeError> {
    let file = File::open(path).map_err(|e| missing(path, &e))?;
    let bytes = owner_only(path, &file)?.min(MAX_BYTES);
    // Room for all of it: a buffer that grows leaves copies behind.
    let mut content = Zeroizing::new(Vec::with_capacity(bytes as usize + 1));
    file.take(bytes).read_to_end(&mut content).map_err(|e| missing(path, &e))?;
    Ok(content)
}

/// New files of these options belong to their owner alone.
pub(crate) fn owned(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// The file's length, if only its owner may read it. Asks the open file: a path may come to mean another one.
fn owner_only(path: &Path, file: &File) -> Result<u64, NodeError> {
    let meta = file.metadata().map_err(|e| missing(path, &e))?;
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::mode(&meta.permissions());
        if mode & 0o077 != 0 {
            let message = format!("{} can be read by others (mode {:o})", path.display(), mode & 0o777);
            return Err(NodeError::new("KEY_FILE_OPEN", message).hint(format!("chmod 600 {}", path.display())));
        }
    }
    Ok(meta.len())
}
